/* The suite as a guest: conformance.wasm DIRECTORY-OF-MODELS */
#include <stdio.h>

#include "suite.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: conformance.wasm DIRECTORY-OF-MODELS\n");
    return 2;
  }
  return run_suite(argv[1]);
}
