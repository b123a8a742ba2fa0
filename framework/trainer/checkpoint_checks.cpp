#include <levin/framework/trainer/checkpoint_checks.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>

namespace levin {

void require_resumable(const StateDict& checkpoint, const std::filesystem::path& path) {
  if (checkpoint.has_child("loop")) return;
  throw CheckpointError::io(
      "resume training from", path.string(),
      "it holds weights only; give a checkpoint that was saved without weights_only");
}

void require_same_classes(const StateDict& checkpoint, DataModule& data,
                          const std::filesystem::path& path) {
  const auto description = module_description(checkpoint);
  if (!description || description->class_names.empty()) return;
  const auto& trained = description->class_names;
  const auto given = data.class_names();
  if (given.empty() || given == trained) return;
  throw CheckpointError::mismatch(
      fmt::format("'{}'", path.string()),
      {fmt::format("its model was trained on the classes {}, in this order",
                   fmt::join(trained, ", ")),
       fmt::format("the classes of the data are {}; give data of the same classes, or targets that "
                   "are the classes' numbers",
                   fmt::join(given, ", "))},
      "doesn't fit these data");
}

}  // namespace levin
