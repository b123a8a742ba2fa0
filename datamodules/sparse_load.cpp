#include <levin/datamodules/sparse.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <levin/datamodules/readers/murmur_hash.h>
#include <levin/datamodules/readers/shard.h>
#include <levin/datamodules/readers/sparse_ahead.h>
#include <levin/datamodules/sparse_lines.h>
#include <levin/datamodules/sparse_shards.h>
#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>

// How SparseDataModule reads its sets.

namespace levin {
namespace {

using readers::SparseRows;

/// What is found in the targets of rows.
struct FoundTargets {
  bool are_whole = true;
  bool has_minus_one = false;
  bool has_zero = false;
  float lowest = 0.0F;
  float highest = 0.0F;
};

FoundTargets look_at_targets(const SparseRows& rows) {
  FoundTargets found;
  found.lowest = found.highest = rows.targets[0];
  for (const float target : rows.targets.span()) {
    found.are_whole = found.are_whole && readers::is_whole(static_cast<double>(target));
    found.has_minus_one = found.has_minus_one || target == -1.0F;
    found.has_zero = found.has_zero || target == 0.0F;
    found.lowest = std::min(found.lowest, target);
    found.highest = std::max(found.highest, target);
  }
  return found;
}

/// Throws for the first target that isn't a class.
void require_class_labels(const SparseRows& rows, bool signs, int64_t num_classes,
                          const std::string& name) {
  const auto targets = rows.targets.span();
  for (size_t row = 0; row < targets.size(); ++row) {
    const float target = targets[row];
    const bool is_class = readers::is_whole(static_cast<double>(target)) &&
                          (target >= 0.0F || (signs && target == -1.0F)) &&
                          (num_classes == 0 || target < static_cast<float>(num_classes));
    if (is_class) continue;
    const auto limit = num_classes == 0 ? "" : fmt::format(", below {}", num_classes);
    throw DataError::bad_value(
        "the label", fmt::format("{}", target), fmt::format("{}, row {} (from 0)", name, row),
        fmt::format("classes must be whole numbers from 0 on{}, or -1 and 1. Correct it, or set "
                    "target_type = value if labels are numbers to predict.",
                    limit));
  }
}

std::string set_name(const std::vector<std::filesystem::path>& files) {
  return files.size() == 1 ? files.front().string()
                           : fmt::format("{} and the files behind it", files.front().string());
}

Standardization deviations_of(const SparseRows& rows, const std::vector<int64_t>& numbers) {
  ColumnDeviations found(rows.columns);
  for (const int64_t row : numbers) {
    const int64_t begin = rows.offsets[static_cast<size_t>(row)];
    found.add(rows.indices.data() + begin,
              rows.values.empty() ? nullptr : rows.values.data() + begin,
              rows.offsets[static_cast<size_t>(row) + 1] - begin);
  }
  found.add_rows(static_cast<int64_t>(numbers.size()));
  return found.find();
}

std::shared_ptr<const Dataset> input_of(const std::shared_ptr<const Dataset>& set) {
  const auto memory = find_in_memory(set);
  return inputs_alone(memory.tensors->entries().front().second);
}

}  // namespace

SparseDataModule::Set SparseDataModule::load(const std::string& set) {
  auto& slot = set == "train"  ? sets_.train
               : set == "val"  ? sets_.val
               : set == "test" ? sets_.test
                               : sets_.predict;
  const auto& o = options_;
  if (slot != nullptr) return slot;
  const bool is_split = (set == "val" && o.val.empty() && o.val_split > 0.0) ||
                        (set == "test" && o.test.empty() && o.test_split > 0.0);
  if (is_split && !o.train.empty()) {
    load("train");
    return slot;
  }
  const auto& names = names_of(set);
  if (names.empty()) return nullptr;
  if (set == "predict" && o.predict.empty() && !o.stream) {
    load(o.test.empty() ? "train" : "test");
    return slot = input_of(o.test.empty() ? whole_ : sets_.test);
  }
  const auto files = readers::find_files(names, set);
  const auto format = sparse_format(files, o.format);
  if (!is_settled_) settled_.hash = hash_settings(settled_.files, format);
  if (!o.stream) {
    slot = load_rows(set, files, format);
  } else if (format == "lvb") {
    slot = load_shards(set, files);
  } else {
    slot = load_lines(set, files, format);
  }
  is_settled_ = true;
  return slot;
}

/// Settles what targets are if that is open, and checks those of `rows`.
void SparseDataModule::settle_targets(const SparseRows& rows, const std::string& name,
                                      bool may_have_signs, SparseLayout& layout) {
  const auto found = look_at_targets(rows);
  auto& type = settled_.target_type;
  if (type == readers::TargetType::automatic) {
    const bool are_classes = options_.num_classes > 0 || found.are_whole;
    type = are_classes ? readers::TargetType::classes : readers::TargetType::values;
  }
  layout.classes = type == readers::TargetType::classes;
  if (!layout.classes) return;
  layout.signs = may_have_signs && found.has_minus_one && !found.has_zero;
  require_class_labels(rows, layout.signs, options_.num_classes, name);
  highest_class_ = std::max(highest_class_, static_cast<int64_t>(found.highest));
  const bool are_signs = layout.signs && found.highest <= 1.0F;
  if (!is_settled_ && are_signs) settled_.class_names = {"-1", "1"};
}

/// Finds the deviations of the training rows, or says why that can't be done.
void SparseDataModule::require_standardization(const std::string& set) const {
  if (!options_.standardize || settled_.standardization || set == "train") return;
  throw ConfigError::conflict(
      "standardize = true without training rows",
      "features are divided by their deviations in the training rows: name their files in train, "
      "or use a checkpoint of a model that was trained on standardised features");
}

/// The deviations of the training rows, which are all rows if there is no split.
Standardization SparseDataModule::learned_deviations(const SparseRows& rows,
                                                     const Split* split) const {
  if (split != nullptr) return deviations_of(rows, learned_rows(split->train));
  if (const auto* chosen = chosen_rows()) return deviations_of(rows, *chosen);
  ColumnDeviations found(rows.columns);
  found.add(rows);
  return found.find();
}

SparseDataModule::Set SparseDataModule::load_rows(const std::string& set, const Files& files,
                                                  const std::string& format) {
  const bool is_train = set == "train";
  require_standardization(set);
  auto rows = read_sparse_files(files, settled_.files, /*skip_targets=*/set == "predict");
  SparseLayout layout{.columns = rows->columns};
  layout.has_target = set != "predict" && !rows->targets.empty();
  layout.has_weight = set != "predict" && !rows->weights.empty();
  if (layout.has_target) {
    settle_targets(*rows, set_name(files), format != "lvb", layout);
  } else {
    without_targets_.emplace_back(set, files.front().string());
  }
  Split split;
  const bool is_split = is_train && (val_share() > 0.0 || test_share() > 0.0);
  if (is_split) {
    const RowSplit how{.file = files.front().string(),
                       .val_split = val_share(),
                       .test_split = test_share(),
                       .shuffle = options_.shuffle,
                       .seed = options_.seed};
    require_no_empty_set(rows->rows(), how, Stage::fit);
    split = split_rows(rows->rows(), how);
  }
  if (is_train && options_.standardize && !settled_.standardization) {
    settled_.standardization = learned_deviations(*rows, is_split ? &split : nullptr);
  }
  if (is_train && layout.has_target && layout.classes) note_only_class(*rows, set_name(files));
  if (settled_.standardization) {
    settled_.standardization->require_columns(rows->columns, set_name(files));
    settled_.standardization->apply(*rows);
  }
  const auto whole =
      std::make_shared<TensorDataset>(TensorDataset::of_rows(named_rows(std::move(rows), layout)));
  if (!is_train) return whole;
  whole_ = whole;
  if (!is_split) return whole;
  if (!split.val.empty()) sets_.val = std::make_shared<Subset>(whole, std::move(split.val));
  if (!split.test.empty()) sets_.test = std::make_shared<Subset>(whole, std::move(split.test));
  return std::make_shared<Subset>(whole, std::move(split.train));
}

/// Remembers that all training rows have the same class, which a fit refuses.
void SparseDataModule::note_only_class(const SparseRows& rows, const std::string& name) {
  const auto targets = rows.targets.span();
  const float first = targets.front();
  if (std::any_of(targets.begin(), targets.end(), [first](float t) { return t != first; })) return;
  only_class_ = fmt::format("{}: all {} training rows have the label {}", name, rows.rows(), first);
}

SparseDataModule::Set SparseDataModule::load_shards(const std::string& set, const Files& files) {
  require_standardization(set);
  const auto shards = std::make_shared<SparseShards>(files, settled_.files.columns,
                                                     std::max<int64_t>(1, options_.num_workers));
  settled_.files.columns = shards->layout().columns;
  if (set == "predict") {
    shards->skip_targets();
  } else if (shards->layout().has_target) {
    SparseLayout layout;
    settle_targets(shards->first_block(), set_name(files), /*may_have_signs=*/false, layout);
    shards->set_classes(layout.classes);
  } else {
    without_targets_.emplace_back(set, files.front().string());
  }
  auto& found = settled_.standardization;
  if (options_.standardize && !found) {
    ColumnDeviations deviations(shards->layout().columns);
    shards->for_each_block([&deviations](const SparseRows& rows) { deviations.add(rows); });
    found = deviations.find();
  }
  if (found) shards->set_standardization(*found);
  return shards;
}

SparseDataModule::Set SparseDataModule::load_lines(const std::string& set, const Files& files,
                                                   const std::string& format) {
  if (format == "npz") {
    throw ConfigError::conflict(
        "stream = true can't go with .npz files, which hold their rows in one piece",
        "convert them: levin convert FILE --sparse true; or leave out stream");
  }
  require_standardization(set);
  if (options_.standardize && !settled_.standardization) {
    throw ConfigError::conflict(
        "stream = true with text can't go with standardize = true, because the deviations of the "
        "features aren't known before all lines were read",
        "convert the files once: levin convert FILE --sparse true; or leave out stream");
  }
  const bool is_predict = set == "predict";
  settle_hashed_columns(format);
  const auto maker = sparse_format_maker(files, settled_.files, is_predict);
  SparseLayout layout{.columns = settled_.files.columns};
  layout.has_target = !is_predict;
  layout.has_weight = format == "vw" && !is_predict;
  if (!is_predict) {
    readers::SparseAhead text(files, maker, 1);
    readers::ParsedRows first;
    while (first.rows.rows() == 0 && text.next(first)) {
    }
    settle_targets(first.rows, set_name(files), /*may_have_signs=*/true, layout);
    layout.signs = layout.classes;
  }
  if (settled_.standardization) {
    settled_.standardization->require_columns(layout.columns, set_name(files));
  }
  return std::make_shared<SparseLines>(files, maker, layout, settled_.files.threads,
                                       settled_.standardization);
}

void SparseDataModule::settle_hashed_columns(const std::string& format) {
  if (!is_hashed(format)) return;
  const int64_t bits = hash_bits_of(settled_.files, format);
  const int64_t made = readers::FeatureHash(bits).columns();  // throws if it can't be
  auto& columns = settled_.files.columns;
  if (columns != 0 && columns != made) {
    throw ConfigError::conflict(
        fmt::format("columns = {}, but hash_bits = {} make {}", columns, bits, made),
        "leave columns out, or set hash_bits to that of the training data");
  }
  columns = made;
}

}  // namespace levin
