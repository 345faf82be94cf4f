/* What a sandbox lets a guest do, one thing for each mode, given as the first argument; 0 means that it
 * worked. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

__attribute__((import_module("host"), import_name("add"))) int32_t host_add(int32_t a, int32_t b);
__attribute__((import_module("host"), import_name("refuse"))) void host_refuse(int32_t number);
__attribute__((import_module("host"), import_name("sum"))) double host_sum(const double* values,
                                                                           uint32_t count);

__attribute__((export_name("add_in_host"))) int32_t add_in_host(int32_t a, int32_t b) {
  return host_add(a, b);
}

__attribute__((export_name("call_host_often"))) int32_t call_host_often(int32_t count) {
  int32_t total = 0;
  for (int32_t i = 0; i < count; ++i) total = host_add(total, 1);
  return total;
}

__attribute__((export_name("divide"))) int64_t divide(int64_t a, int64_t b) { return a / b; }

static int write_file(const char* path, const char* text) {
  FILE* file = fopen(path, "w");
  if (file == NULL) return 1;
  const int failed = fputs(text, file) < 0;
  return fclose(file) != 0 || failed;
}

static int read_file(const char* path, const char* expected) {
  char text[64] = {0};
  FILE* file = fopen(path, "r");
  if (file == NULL) return 1;
  fread(text, 1, sizeof text - 1, file);
  fclose(file);
  return strcmp(text, expected) != 0;
}

/* How many descriptors of one file it gets until it is refused. */
static int open_all(const char* path) {
  int count = 0;
  while (open(path, O_RDONLY) >= 0) ++count;
  return count;
}

/* The same, with calls of the host in between and one descriptor given back. */
static int open_around_the_host(const char* path) {
  const int mine = open(path, O_RDONLY);
  host_add(0, 0);
  const int count = 1 + open_all(path);
  host_add(0, 0);
  close(mine);
  return count - 1 + open_all(path);
}

/* Each way to change a directory or a file in it. Whether one of them was not refused. */
static int set_times(const char* path) {
  const struct timespec times[2] = {{1, 0}, {1, 0}};
  const int file = open(path, O_RDONLY);
  return file >= 0 && futimens(file, times) == 0;
}

static int set_times_by_path(const char* path) {
  const struct timespec times[2] = {{1, 0}, {1, 0}};
  return utimensat(AT_FDCWD, path, times, 0) == 0;
}

static int set_times_renumbered(const char* path) {
  const struct timespec times[2] = {{1, 0}, {1, 0}};
  const int file = open(path, O_RDONLY), other = open(path, O_RDONLY);
  return file >= 0 && other >= 0 && __wasi_fd_renumber((__wasi_fd_t)file, (__wasi_fd_t)other) == 0 &&
         futimens(other, times) == 0;
}

static int opens(const char* path, int flags) {
  const int file = open(path, flags, 0600);
  if (file >= 0) close(file);
  return file >= 0;
}

static int sets_size(const char* path) {
  const int file = open(path, O_RDONLY);
  return file >= 0 && ftruncate(file, 1) == 0;
}

static int allocates(const char* path) {
  const int file = open(path, O_RDONLY);
  return file >= 0 && posix_fallocate(file, 0, 100) == 0;
}

static int sets_times_below(const char* directory, const char* name) {
  const struct timespec times[2] = {{1, 0}, {1, 0}};
  const int folder = open(directory, O_RDONLY | O_DIRECTORY);
  const int file = folder < 0 ? -1 : openat(folder, name, O_RDONLY);
  return file >= 0 && (futimens(file, times) == 0 || utimensat(folder, name, times, 0) == 0);
}

/* The number of the first way in which the file, in `directory` or to be moved to `elsewhere`, was changed; 0
 * if none. */
static int change(const char* file, const char* elsewhere) {
  if (set_times(file)) return 1;
  if (set_times_by_path(file)) return 2;
  if (set_times_renumbered(file)) return 3;
  if (opens(file, O_RDWR)) return 4;
  if (opens(file, O_WRONLY)) return 5;
  if (opens(file, O_RDONLY | O_CREAT)) return 6;
  if (opens(file, O_RDONLY | O_TRUNC)) return 7;
  if (sets_size(file)) return 8;
  if (allocates(file)) return 9;
  if (link(file, elsewhere) == 0) return 10;
  if (rename(file, elsewhere) == 0) return 11;
  if (unlink(file) == 0) return 12;
  if (symlink("file", "ro/link") == 0) return 13;
  if (mkdir("ro/made", 0700) == 0) return 14;
  if (rmdir("ro/sub") == 0) return 15;
  if (rename(elsewhere, "ro/new") == 0) return 16;
  if (sets_times_below("ro/sub", "deep")) return 17;
  return 0;
}

/* What may be done in a read-only directory: its entries, its files and those below are read. */
static int look_around(void) {
  DIR* folder = opendir("ro");
  int found = 0;
  for (struct dirent* entry; folder != NULL && (entry = readdir(folder)) != NULL;)
    found += strcmp(entry->d_name, "file") == 0;
  struct stat info;
  return found != 1 || stat("ro/file", &info) != 0 || info.st_size != 3 ||
         read_file("ro/sub/deep", "old") != 0;
}

static int grow(uint32_t pages) { return __builtin_wasm_memory_grow(0, pages) == (size_t)-1; }

static int sum(void) {
  const double values[] = {1.5, 2.5, 4};
  return host_sum(values, 3) != 8;
}

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  const char* first = argc > 2 ? argv[2] : "";
  const char* second = argc > 3 ? argv[3] : "";
  if (strcmp(mode, "exit") == 0) exit(atoi(first));
  if (strcmp(mode, "refuse") == 0) host_refuse(7);
  if (strcmp(mode, "sum") == 0) return sum();
  if (strcmp(mode, "env") == 0) return getenv(first) == NULL || strcmp(getenv(first), second) != 0;
  if (strcmp(mode, "name") == 0) return strcmp(argv[0], first) != 0;
  if (strcmp(mode, "write") == 0) return write_file(first, second);
  if (strcmp(mode, "read") == 0) return read_file(first, second);
  if (strcmp(mode, "remove") == 0) return remove(first) != 0;
  if (strcmp(mode, "rename") == 0) return rename(first, second) != 0;
  if (strcmp(mode, "open-all") == 0) return open_all(first);
  if (strcmp(mode, "open-around-the-host") == 0) return open_around_the_host(first);
  if (strcmp(mode, "change") == 0) return change(first, second);
  if (strcmp(mode, "look-around") == 0) return look_around();
  if (strcmp(mode, "grow") == 0) return grow((uint32_t)atoi(first));
  if (strcmp(mode, "trap") == 0) __builtin_trap();
  return 64;
}
