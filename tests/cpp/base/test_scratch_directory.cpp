// Directories that go with their process.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "../support.hpp"
#include "wasmgrad/base/scratch_directory.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;

TEST_CASE("a scratch directory goes with its object, and all that it holds with it") {
  const TemporaryDirectory parent;
  {
    const auto scratch = ScratchDirectory::make(parent.path());
    REQUIRE(scratch);
    std::ofstream(scratch.value().path() / "file") << "text";
    CHECK(parent.count() == 1);
  }
  CHECK(parent.count() == 0);
}

TEST_CASE("the next one removes what a killed process has left, and not what others hold") {
  const TemporaryDirectory parent;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto scratch = ScratchDirectory::make(parent.path());
    ::_exit(scratch ? 0 : 1);  // without destroying it
  }
  ::waitpid(child, nullptr, 0);
  CHECK(parent.count() == 1);
  const auto first = ScratchDirectory::make(parent.path());
  REQUIRE(first);
  CHECK(parent.count() == 1);
  const auto second = ScratchDirectory::make(parent.path());
  CHECK(second);
  CHECK(parent.count() == 2);
}

TEST_CASE("a directory where none can be made is told") {
  const Error error = error_of(ScratchDirectory::make("/no/such/directory"));
  CHECK(error.message.find("cannot make a temporary directory in '/no/such/directory'") != std::string::npos);
}
