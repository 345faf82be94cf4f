// A graph module that classifies pictures as red, green or blue: the mean of each channel of a [1, 3, 8, 8]
// picture is its score.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))

enum { kChannels = 3, kPixels = 64 };

static _Alignas(64) float picture[kChannels * kPixels], scores[kChannels];

EXPORT("_initialize") void initialize(void) {}
EXPORT("graph_input") int32_t graph_input(int32_t index) {
  return index == 0 ? (int32_t)(intptr_t)picture : 0;
}
EXPORT("graph_output") int32_t graph_output(int32_t index) {
  return index == 0 ? (int32_t)(intptr_t)scores : 0;
}
EXPORT("graph_weights") int32_t graph_weights(void) { return (int32_t)(intptr_t)picture; }  // it has none

EXPORT("graph_call") int32_t graph_call(int32_t index) {
  if (index != 0) return -1;
  for (int channel = 0; channel < kChannels; ++channel) {
    float sum = 0;
    for (int pixel = 0; pixel < kPixels; ++pixel) sum += picture[channel * kPixels + pixel];
    scores[channel] = sum / kPixels;
  }
  return 0;
}

EXPORT("graph_run") int32_t graph_run(void) { return graph_call(0); }
