#include "wasmgrad/training/loop/trainer.hpp"

namespace wasmgrad::training {

std::string progress_text(const Trainer& trainer) {
  std::string text =
      "step " + std::to_string(trainer.steps()) + " (" + std::to_string(trainer.epoch()) + " whole epochs";
  if (trainer.batch() > 0) text += " and " + std::to_string(trainer.batch()) + " batches";
  return text + ")";
}

}  // namespace wasmgrad::training
