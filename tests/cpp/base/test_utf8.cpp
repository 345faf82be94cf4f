#include <doctest/doctest.h>

#include "wasmgrad/base/utf8.hpp"

using namespace wasmgrad;

TEST_CASE("UTF-8 is what RFC 3629 says") {
  for (const char* text : {"", "plain", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CAPTURE(text);
    CHECK(is_utf8(text));
  }
  for (const char* text : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
                           "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xc3"}) {
    CAPTURE(text);
    CHECK_FALSE(is_utf8(text));
  }
}

TEST_CASE("what is shown stays on its line and is UTF-8") {
  CHECK(printable("plain \xc3\xa4") == "plain \xc3\xa4");
  CHECK(printable("two\nlines\x1b[31m\x7f") == "two?lines?[31m?");
  CHECK(printable("broken \xc3") == "broken ?");
}
