// Files: atomic replacement, and grants that cannot be left.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>

#include "../support.hpp"
#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/open_beneath.hpp"
#include "wasmgrad/base/scratch_directory.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

constexpr std::uint64_t kAny = 1 << 20;

// A granted directory `in` beside a secret, with the escapes that a guest may find or make in it.
struct Tree {
  TemporaryDirectory root;

  Tree() {
    fs::create_directories(root / "in/sub");
    root.write("secret", "secret");
    root.write("in/file", "inside");
    root.write("in/sub/deep", "deep");
    fs::create_symlink("../secret", root / "in/up");
    fs::create_symlink(root / "secret", root / "in/absolute");
    fs::create_directory_symlink("..", root / "in/parent");
    fs::create_symlink("sub/deep", root / "in/inner");
  }

  [[nodiscard]] Grants grants(const std::string& guest_path, bool read_only = false) const {
    return Grants({{root / "in", guest_path, read_only}});
  }
};

}  // namespace

TEST_CASE("read_file returns the contents") {
  const TemporaryDirectory dir;
  dir.write("a", "contents");
  const auto bytes = read_file(dir / "a", kAny);
  REQUIRE(bytes);
  CHECK(text_of(*bytes) == "contents");
}

TEST_CASE("read_file reports what it cannot read") {
  const TemporaryDirectory dir;
  dir.write("a", "contents");
  CHECK(error_of(read_file(dir / "missing", kAny)).code == Errc::kNotFound);
  CHECK(error_of(read_file(dir / "a", 7)).code == Errc::kTooLarge);
  CHECK(error_of(read_file(dir.path(), kAny)).code == Errc::kRuntimeError);
}

TEST_CASE("read_file does not wait for a FIFO's writer") {
  const TemporaryDirectory dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(error_of(read_file(dir / "fifo", kAny)).message.find("not a regular file") != std::string::npos);
}

TEST_CASE("write_file_atomic replaces a file and leaves nothing else") {
  const TemporaryDirectory dir;
  dir.write("a", "old");
  REQUIRE(write_file_atomic(dir / "a", bytes_of("new")));
  CHECK(dir.read("a") == "new");
  CHECK(dir.count() == 1);
}

TEST_CASE("a write that fails leaves the old file and no temporary one") {
  const TemporaryDirectory dir;
  dir.write("a", "old");
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{100, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const Status status = write_file_atomic(dir / "a", bytes_of(std::string(1000, 'x')));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(error_of(status).message.find("output limit") != std::string::npos);
  CHECK(dir.read("a") == "old");
  CHECK(dir.count() == 1);
}

TEST_CASE("what cannot be written is found out before: a directory in its place, none around it") {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "taken");
  const Grants grants({{dir.path(), ".", false}});
  CHECK(error_of(check_can_write(dir / "taken")).message.find("it is a directory") != std::string::npos);
  CHECK(error_of(grants.check_writable("taken")).message == "cannot write 'taken': it is a directory");
  CHECK(error_of(check_can_write(dir / "absent/file")).message.find("missing") != std::string::npos);
  CHECK(check_can_write(dir / "new"));
  CHECK(grants.check_writable("new"));
  CHECK(dir.count() == 1);
}

TEST_CASE("what killed writers of a file have left is removed, and what is being written is not") {
  const TemporaryDirectory dir;
  dir.write(".state.1-0.tmp", "part");
  dir.write(".state.2-0.tmp", "part");
  dir.write(".other.1-0.tmp", "part");
  const UniqueFd held(::open((dir / ".state.2-0.tmp").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(lock_named(held.get()));
  CHECK(check_can_write(dir / "state"));
  CHECK_FALSE(fs::exists(dir / ".state.1-0.tmp"));
  CHECK(fs::exists(dir / ".state.2-0.tmp"));
  CHECK(fs::exists(dir / ".other.1-0.tmp"));
}

TEST_CASE("a guest's path that is not UTF-8 is said to be that") {
  const TemporaryDirectory dir;
  const Grants grants({{dir.path(), ".", false}});
  CHECK(error_of(grants.read("model\xff.pt", 100)).message ==
        "the path 'model?.pt' is not UTF-8, which paths of guests are");
}

TEST_CASE("write_file_atomic names the directory that is not there") {
  const TemporaryDirectory dir;
  const Error error = error_of(write_file_atomic(dir / "no/a", bytes_of("x")));
  CHECK(error.code == Errc::kRuntimeError);
  CHECK(error.message.find("no/a") != std::string::npos);
}

TEST_CASE("Preopen::parse reads HOST:GUEST[:ro]") {
  const auto plain = Preopen::parse("/host:guest");
  REQUIRE(plain);
  CHECK(plain->host_path == "/host");
  CHECK(plain->guest_path == "guest");
  CHECK_FALSE(plain->read_only);
  const auto read_only = Preopen::parse("/host:guest:ro");
  REQUIRE(read_only);
  CHECK(read_only->read_only);
  const auto alone = Preopen::parse("data");
  REQUIRE(alone);
  CHECK(alone->host_path == "data");
  CHECK(alone->guest_path == "data");
}

TEST_CASE("Preopen::parse refuses what it does not know") {
  for (const char* text : {"", ":", "a:", ":b", "a:b:", "a:b:rw", "a:b:ro:c"}) {
    CAPTURE(text);
    CHECK(error_of(Preopen::parse(text)).code == Errc::kInvalidArgument);
  }
}

TEST_CASE("a guest path is resolved in its preopen") {
  const Tree tree;
  struct Case {
    const char* preopen;
    const char* path;
  };
  for (const Case& c : {Case{".", "file"},
                        {".", "./file"},
                        {".", "sub/../file"},
                        {".", ".//./file"},
                        {"/", "/file"},
                        {"/", "file"},
                        {"/", "./file"},
                        {"/data", "/data/file"},
                        {"/data/", "/data//file"},
                        {"data", "data/file"},
                        {"./data", "data/file"},
                        {"/data", "data/file"}}) {
    CAPTURE(c.preopen);
    CAPTURE(c.path);
    const auto bytes = tree.grants(c.preopen).read(c.path, kAny);
    REQUIRE(bytes);
    CHECK(text_of(*bytes) == "inside");
  }
}

TEST_CASE("the preopen with the longest prefix wins") {
  const Tree tree;
  const Grants grants({{tree.root.path(), "/", false}, {tree.root / "in/sub", "/in", false}});
  const auto bytes = grants.read("/in/deep", kAny);
  REQUIRE(bytes);
  CHECK(text_of(*bytes) == "deep");
}

TEST_CASE("a prefix ends at a path component") {
  const Tree tree;
  CHECK(error_of(tree.grants("/data").read("/database/file", kAny)).code == Errc::kSecurity);
}

TEST_CASE("no path leaves its preopen") {
  const Tree tree;
  for (const char* path : {"../secret", "sub/../../secret", "./../secret", "up", "absolute", "parent/secret",
                           "sub/../parent/in/file", "/etc/passwd", "/file"}) {
    CAPTURE(path);
    CHECK(error_of(tree.grants(".").read(path, kAny)).code == Errc::kSecurity);
  }
}

TEST_CASE("a symbolic link that stays inside is followed") {
  const Tree tree;
  const auto bytes = tree.grants(".").read("inner", kAny);
  REQUIRE(bytes);
  CHECK(text_of(*bytes) == "deep");
}

TEST_CASE("a path that names nothing is told apart from one that is forbidden") {
  const Tree tree;
  CHECK(error_of(tree.grants(".").read("missing", kAny)).code == Errc::kNotFound);
  CHECK(error_of(tree.grants(".").read("", kAny)).code == Errc::kInvalidArgument);
  CHECK(error_of(tree.grants(".").read(std::string_view("file\0x", 6), kAny)).code == Errc::kInvalidArgument);
  CHECK(error_of(Grants({}).read("file", kAny)).code == Errc::kSecurity);
}

TEST_CASE("a grant writes inside and nowhere else") {
  const Tree tree;
  REQUIRE(tree.grants(".").write("sub/new", bytes_of("new")));
  CHECK(tree.root.read("in/sub/new") == "new");
  for (const char* path : {"../new", "parent/new", "sub/../../new"}) {
    CAPTURE(path);
    CHECK(error_of(tree.grants(".").write(path, bytes_of("new"))).code == Errc::kSecurity);
    CHECK(error_of(tree.grants(".").check_writable(path)).code == Errc::kSecurity);
  }
  CHECK_FALSE(fs::exists(tree.root / "new"));
}

TEST_CASE("writing over a symbolic link replaces the link, not its target") {
  const Tree tree;
  REQUIRE(tree.grants(".").write("up", bytes_of("new")));
  CHECK(tree.root.read("secret") == "secret");
  CHECK(tree.root.read("in/up") == "new");
}

TEST_CASE("a read-only grant is read and not written") {
  const Tree tree;
  CHECK(tree.grants(".", true).read("file", kAny));
  CHECK(error_of(tree.grants(".", true).write("file", bytes_of("x"))).code == Errc::kSecurity);
  CHECK(error_of(tree.grants(".", true).check_writable("file")).code == Errc::kSecurity);
  CHECK(tree.root.read("in/file") == "inside");
}

TEST_CASE("without openat2, components are walked by hand and links refused") {
  const Tree tree;
  const UniqueFd in(::open((tree.root / "in").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const char* path : {"file", "sub/deep", "sub/../file", "./sub/./deep", "."}) {
    CAPTURE(path);
    CHECK(open_beneath_by_component(in.get(), path, O_RDONLY));
  }
  struct Case {
    const char* path;
    int error;
  };
  for (const Case& c : {Case{"..", EXDEV},
                        {"../secret", EXDEV},
                        {"sub/../../secret", EXDEV},
                        {"/etc/passwd", EXDEV},
                        {"up", ELOOP},
                        {"parent/secret", ELOOP},
                        {"missing/file", ENOENT},
                        {"file/x", ENOTDIR}}) {
    CAPTURE(c.path);
    errno = 0;
    const bool opened = static_cast<bool>(open_beneath_by_component(in.get(), c.path, O_RDONLY));
    const int error = errno;
    CHECK_FALSE(opened);
    CHECK(error == c.error);
  }
}
