#pragma once

#include <cstdint>
#include <optional>

#include <levin/framework/core/options.h>

namespace levin {

/// Settings of a deadline for gradients, with which ranks go on without those that are late
/// (TrainerOptions::gradient_deadline).
struct GradientDeadlineOptions {
  /// The seconds for which ranks wait for others after the first one of them has its gradients of a
  /// step.
  double seconds = 1.0;
  /// The number of steps at the beginning of a fit in which ranks wait for all others. The first
  /// steps take longer than later ones, because memory is allocated and data are opened.
  int64_t warmup_steps = 1;
  /// The most steps that are taken without a rank until the others wait for it. A rank that is
  /// behind keeps the sum of each of these steps, which takes the memory of its gradients.
  int64_t max_steps_behind = 20;
};
Fields describe(GradientDeadlineOptions& options);

/// A deadline for gradients, and what becomes of those that miss it.
struct GradientDeadline {
  GradientDeadlineOptions options{};
  /// Whether late gradients are added to the next ones that the rank sends; if not, they are
  /// dropped.
  bool folds = false;
};

/// Returns the deadline that `setting` asks for: "drop" or "fold", with the settings of
/// GradientDeadlineOptions; nothing for "none". Throws ConfigError for another name, and for
/// settings that don't exist or are out of range.
std::optional<GradientDeadline> gradient_deadline(const NamedSettings& setting);

}  // namespace levin
