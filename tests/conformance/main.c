/* The suite as a guest: conformance.wasm DIRECTORY-OF-MODELS [owner] */
#include <stdio.h>
#include <string.h>

#include "suite.h"

int main(int argc, char** argv) {
  if (argc == 2) return run_suite(argv[1]);
  if (argc == 3 && strcmp(argv[2], "owner") == 0) return run_owner_suite(argv[1]);
  fprintf(stderr, "usage: conformance.wasm DIRECTORY-OF-MODELS [owner]\n");
  return 2;
}
