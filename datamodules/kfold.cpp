#include <levin/datamodules/kfold.h>

#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/cross_validation.h>
#include <levin/framework/solvers/fold_moments.h>

namespace levin {
namespace {

/// The classes of the rows of a data set, [rows] int64.
torch::Tensor fold_labels(const std::shared_ptr<const Dataset>& dataset) {
  const auto memory = find_in_memory(dataset);
  torch::Tensor target;
  if (memory.tensors != nullptr) {
    for (const auto& [name, rows] : memory.tensors->entries()) {
      if (name == "target" && !rows.is_sparse()) target = rows.tensor().cpu();
    }
  }
  const bool are_classes = target.defined() && target.dim() == 1 &&
                           c10::isIntegralType(target.scalar_type(), /*includeBool=*/true);
  if (!are_classes) {
    throw ConfigError::conflict(
        "stratify = true of training rows without classes in memory",
        "set stratify = false; targets must be whole numbers [rows] in a TensorDataset");
  }
  target = target.to(at::kLong);
  if (memory.rows.empty()) return target;
  auto rows = memory.rows;  // from_blob takes no const memory
  return target.index_select(
      0, at::from_blob(rows.data(), {static_cast<int64_t>(rows.size())}, at::kLong));
}

}  // namespace

Fields describe(KFoldDataModuleOptions& o) {
  return fields_of<KFoldDataModuleOptions>({
      {"data", &o.data, "the data module whose training rows are divided: [{name: ..., ...}]"},
      {"folds", &o.folds, "the number of folds"},
      {"fold", &o.fold, "the fold to validate on, from 0"},
      {"stratify", &o.stratify, "each fold has the classes in their shares"},
      {"shuffle", &o.shuffle, "deal rows out at random"},
      {"seed", &o.seed, "seed of the folds"},
  });
}

KFoldDataModule::KFoldDataModule(DataModule& data, KFoldDataModuleOptions options)
    : DataModuleWrapper(data), options_(std::move(options)) {
  check_options();
  keep_what_is_read();
  if (options_.data.empty()) return;
  throw ConfigError::conflict("the option data names data, but the constructor got data as well",
                              "leave out the option; it is for YAML");
}

KFoldDataModule::KFoldDataModule(KFoldDataModuleOptions options, std::unique_ptr<DataModule> data)
    : DataModuleWrapper(*data), options_(std::move(options)), owned_(std::move(data)) {
  check_options();
  keep_what_is_read();
}

void KFoldDataModule::check_options() const {
  const auto& o = options_;
  if (o.folds < 2) {
    throw ConfigError::invalid_value("folds", std::to_string(o.folds), "must be at least 2");
  }
  if (o.fold < 0 || o.fold >= o.folds) {
    throw ConfigError::invalid_value("fold", std::to_string(o.fold),
                                     fmt::format("must be from 0 to {}", o.folds - 1));
  }
}

/// The folds are parts of the training rows, so validation needs these, too.
void KFoldDataModule::setup(Stage stage) {
  const bool needs_folds = stage == Stage::fit || stage == Stage::validate;
  wrapped().setup(needs_folds ? Stage::fit : stage);
  if (needs_folds && !took_over_) {
    learn();
    wrapped().setup(Stage::fit);
  }
  pass_notes();
  if (!needs_folds || val_is_noted_) return;
  val_is_noted_ = true;
  if (wrapped().val_dataloader().empty()) return;
  note(
      "the data module whose rows are divided into folds has validation rows of its own, which are "
      "in no fold. Set its val_split to 0 to have all rows in the folds.");
}

/// Makes the other data module learn from the rows that this fold trains on.
void KFoldDataModule::learn() {
  if (auto* const learner = dynamic_cast<LearnsFromRows*>(&wrapped())) {
    auto rows = rows_of(whole(), /*is_validation=*/false);
    if (!chosen_) return learner->learn_from(std::move(rows));
    std::vector<int64_t> some;
    for (const int64_t row : *chosen_) some.push_back(rows.at(static_cast<size_t>(row)));
    return learner->learn_from(std::move(some));
  }
  if (learning_is_noted_ || wrapped().fitted_state().empty()) return;
  learning_is_noted_ = true;
  note(fmt::format(
      "what {0} has learned from its training rows (fitted_state), it has learned from those of "
      "all folds, so that the validation isn't one on unknown rows. Derive {0} from "
      "LearnsFromRows, too, to let it learn from the rows that a fold trains on.",
      wrapped().class_name()));
}

void KFoldDataModule::learn_from(std::optional<std::vector<int64_t>> rows) {
  took_over_ = false;
  chosen_ = std::move(rows);
}

void KFoldDataModule::keep_what_is_read() {
  if (auto* const learner = dynamic_cast<LearnsFromRows*>(&wrapped())) learner->keep_what_is_read();
}

void KFoldDataModule::load_fitted_state(const StateDict& state) {
  took_over_ = true;
  wrapped().load_fitted_state(state);
}

/// The loader whose rows are divided.
DataLoader KFoldDataModule::whole() {
  const auto loaders = wrapped().train_dataloader();
  if (loaders.size() != 1) {
    throw ConfigError::conflict(
        fmt::format("folds of the rows of {} training loaders", loaders.size()),
        "folds are made of the rows of one loader");
  }
  const auto& whole = loaders.front();
  const bool has_size = whole.dataset().size().has_value();
  if (has_size && !whole.options().sampler) return whole;
  throw ConfigError::conflict(
      fmt::format("folds of training rows {}",
                  has_size ? "that a sampler chooses" : "that are a stream of unknown length"),
      has_size ? "leave out the sampler (the option sampling) of the data"
               : "use data whose number of rows is known");
}

std::vector<int64_t> KFoldDataModule::rows_of(const DataLoader& whole, bool is_validation) const {
  const auto& o = options_;
  const int64_t rows = whole.dataset().size().value();
  const auto seed = o.shuffle ? std::optional(o.seed) : std::nullopt;
  const auto fold_of = o.stratify
                           ? stratified_folds(fold_labels(whole.shared_dataset()), o.folds, seed)
                           : row_folds(rows, o.folds, seed);
  const auto* fold = fold_of.const_data_ptr<int64_t>();
  std::vector<int64_t> own;
  for (int64_t row = 0; row < rows; ++row) {
    if ((fold[row] == o.fold) == is_validation) own.push_back(row);
  }
  return own;
}

/// Another fold of the same data may have let them learn since `setup`.
DataLoader KFoldDataModule::loader(bool is_validation) {
  if (!took_over_) learn();
  const auto all = whole();
  auto options = all.options();
  if (is_validation) options.shuffle = options.drop_last = options.augment = false;
  return DataLoader(std::make_shared<Subset>(all.shared_dataset(), rows_of(all, is_validation)),
                    std::move(options));
}

DataLoaders KFoldDataModule::train_dataloader() { return loader(/*is_validation=*/false); }
DataLoaders KFoldDataModule::val_dataloader() { return loader(/*is_validation=*/true); }

Value KFoldDataModule::hyper_parameters() const {
  auto options = options_;
  Value settings = to_value(describe(options));
  Value::Object inner{{"name", wrapped().class_name()}};
  const Value own = wrapped().hyper_parameters();
  if (own.is_object()) {
    for (const auto& [name, value] : own.as_object()) inner.insert_or_assign(name, value);
  }
  settings["data"] = Value::Array{std::move(inner)};
  return settings;
}

RowKeys KFoldDataModule::prediction_keys() {
  auto* const keys = dynamic_cast<HasRowKeys*>(&wrapped());
  return keys != nullptr ? keys->prediction_keys() : RowKeys{};
}

std::vector<std::string> KFoldDataModule::group_names() {
  auto* const groups = dynamic_cast<HasGroups*>(&wrapped());
  return groups != nullptr ? groups->group_names() : std::vector<std::string>{};
}

}  // namespace levin
