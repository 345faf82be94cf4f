// A graph module small enough to know by heart, for the tests of everything that runs graph modules: outputs
// sum = a + b + w and count = 2 * n, over weights w, and a state, the total of all n. Macros make it lie or
// misbehave.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))

#ifndef INPUT_ADDRESS
#define INPUT_ADDRESS(tensor) ((int32_t)(intptr_t)(tensor))
#endif
#ifndef OUTPUT_ADDRESS
#define OUTPUT_ADDRESS(tensor) ((int32_t)(intptr_t)(tensor))
#endif
#ifndef STATE_ADDRESS
#define STATE_ADDRESS(tensor) ((int32_t)(intptr_t)(tensor))
#endif
#ifndef WEIGHTS
#define WEIGHTS {10, 20, 30, 40, 50, 60}
#endif
#ifndef WEIGHTS_AT
#define WEIGHTS_AT weights
#endif
#ifndef WEIGHTS_ADDRESS
#define WEIGHTS_ADDRESS ((int32_t)(intptr_t)(WEIGHTS_AT))
#endif
#ifndef INPUT_PARAMETERS
#define INPUT_PARAMETERS int32_t index
#endif
#ifndef AT_START
#define AT_START
#endif
#ifndef BEFORE_RUN
#define BEFORE_RUN
#endif

static _Alignas(64) float a[6], b[6], sum[6];
static _Alignas(64) int64_t n[1], count[1], total[1];
_Alignas(64) float weights[6] = WEIGHTS;

EXPORT("_initialize") void initialize(void) { AT_START; }

EXPORT("graph_input") int32_t graph_input(INPUT_PARAMETERS) {
  return index == 0 ? INPUT_ADDRESS(a) : index == 1 ? INPUT_ADDRESS(b) : index == 2 ? INPUT_ADDRESS(n) : 0;
}

EXPORT("graph_output") int32_t graph_output(int32_t index) {
  return index == 0 ? OUTPUT_ADDRESS(sum) : index == 1 ? OUTPUT_ADDRESS(count) : 0;
}

EXPORT("graph_state") int32_t graph_state(int32_t index) { return index == 0 ? STATE_ADDRESS(total) : 0; }

EXPORT("graph_weights") int32_t graph_weights(void) { return WEIGHTS_ADDRESS; }

EXPORT("graph_call") int32_t graph_call(int32_t index) {
  if (index == 0) {
    for (int i = 0; i < 6; ++i) sum[i] = a[i] + b[i] + ((volatile float*)(WEIGHTS_AT))[i];
  } else if (index == 1) {
    count[0] = 2 * n[0];
    total[0] += n[0];
  } else {
    return -1;
  }
  return 0;
}

#ifdef NO_RUN
int32_t graph_run(void);
#else
EXPORT("graph_run")
#endif
int32_t graph_run(void) {
  BEFORE_RUN;
  return graph_call(0) | graph_call(1);
}
