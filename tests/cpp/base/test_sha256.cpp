// SHA-256 against the vectors of FIPS 180-4, and independence of how the input is cut.
#include <doctest/doctest.h>

#include "../support.hpp"
#include "wasmgrad/base/sha256.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

std::string digest(std::string_view text) { return to_hex(Sha256().update(bytes_of(text)).finish()); }

}  // namespace

TEST_CASE("SHA-256 gives the standard's digests") {
  CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest(std::string(1'000'000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how its input is cut") {
  const std::string text(200, 'x');
  for (std::size_t cut = 0; cut <= text.size(); cut += 13) {
    CAPTURE(cut);
    Sha256 hash;
    hash.update(bytes_of(text).first(cut)).update(bytes_of(text).subspan(cut));
    CHECK(to_hex(hash.finish()) == digest(text));
  }
}
