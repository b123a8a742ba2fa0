#include <levin/datamodules/sparse.h>

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include <levin/datamodules/sparse_shards.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

void check_not_below(const char* option, int64_t value, int64_t least) {
  if (value >= least) return;
  throw ConfigError::invalid_value(option, std::to_string(value),
                                   fmt::format("must be at least {}", least));
}

/// Refuses options that a format which is named doesn't have. With "auto", files of several formats
/// may need different ones.
void require_options_of_format(const SparseDataModuleOptions& o) {
  if (o.format == "auto") return;
  const bool is_vw = o.format == "vw";
  const bool is_libsvm = o.format == "libsvm";
  const std::tuple<const char*, bool, const char*> set[] = {
      {"zero_based", o.zero_based && !is_libsvm, "libsvm"},
      {"sort_indices", o.sort_indices && !is_libsvm && o.format != "npz", "libsvm or npz"},
      {"hash_bits", o.hash_bits != 0 && !is_hashed(o.format), "vw or criteo"},
      {"quadratic", !o.quadratic.empty() && !is_vw, "vw"},
      {"constant", o.constant && !is_vw, "vw"},
      {"hash_all", o.hash_all && !is_vw, "vw"},
      {"hash_seed", o.hash_seed != 0 && !is_vw, "vw"}};
  for (const auto& [name, is_idle, formats] : set) {
    if (!is_idle) continue;
    throw ConfigError::conflict(
        fmt::format("{} is set, but files of the format {} don't have it", name, o.format),
        fmt::format("leave it out; it is for format = {}", formats));
  }
}

SparseFileOptions file_options(const SparseDataModuleOptions& o) {
  return {.format = o.format,
          .columns = o.columns,
          .zero_based = o.zero_based,
          .sort_indices = o.sort_indices,
          .hash_bits = o.hash_bits,
          .quadratic = o.quadratic,
          .constant = o.constant,
          .hash_all = o.hash_all,
          .hash_seed = o.hash_seed,
          .threads = std::max<int64_t>(1, o.num_workers)};
}

/// Whether two fitted states say the same.
bool same_fitted(const StateDict& one, const StateDict& other) {
  return one.values == other.values && Standardization::load(one) == Standardization::load(other);
}

}  // namespace

Fields describe(SparseDataModuleOptions& o) {
  return fields_of<SparseDataModuleOptions>({
      {"train", &o.train, "training files, folders of them, or patterns"},
      {"val", &o.val, "validation files, instead of val_split"},
      {"test", &o.test, "test files, instead of test_split"},
      {"predict", &o.predict, "files to predict for; empty: those of test, or of train"},
      {"format", &o.format, "libsvm, npz, vw, criteo, lvb, or auto (by the files' names)"},
      {"columns", &o.columns, "columns of a row; 0: found in the files, or by hash_bits"},
      {"zero_based", &o.zero_based, "libsvm files number features from 0; null: find out"},
      {"sort_indices", &o.sort_indices, "sort indices of libsvm and .npz rows, and add repeated"},
      {"hash_bits", &o.hash_bits, "rows of vw and criteo have 2^hash_bits columns; 0: 18 and 20"},
      {"quadratic", &o.quadratic, "pairs of namespaces of vw, such as ab, to be multiplied"},
      {"constant", &o.constant, "vw: add the constant feature to each row"},
      {"hash_all", &o.hash_all, "vw: hash names that are numbers, too"},
      {"hash_seed", &o.hash_seed, "vw: what the hashes of namespaces start with"},
      {"target_type", &o.target_type, "class, value, or auto (whole numbers are classes)"},
      {"num_classes", &o.num_classes, "labels must be below it; 0: found in the training files"},
      {"standardize", &o.standardize, "divide features by their deviation in the training rows"},
      {"stream", &o.stream, "read files again in each epoch instead of keeping them in memory"},
      {"batch_size", &o.batch_size, "rows of a batch on each device"},
      {"shuffle", &o.shuffle, "another order in each epoch; streamed text keeps its own"},
      {"shuffle_rows", &o.shuffle_rows, "streamed rows shuffled at a time; 0: as many as 128 MiB"},
      {"val_split", &o.val_split, "share of the training rows to validate on"},
      {"test_split", &o.test_split, "share of the training rows to test on"},
      {"seed", &o.seed, "seed of the split"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches, or parse text, ahead"},
      shared_option("sampling", &o.sampling),
  });
}

SparseDataModule::SparseDataModule(SparseDataModuleOptions options)
    : SplitDataModule({.batch_size = options.batch_size,
                       .shuffle = options.shuffle,
                       .drop_last = options.drop_last,
                       .num_workers = options.num_workers}),
      options_(std::move(options)) {
  check_options();
  set_sampling(options_.sampling);
  settled_ = unsettled();
}

/// What the options alone say.
SparseDataModule::Settled SparseDataModule::unsettled() const {
  return {.files = file_options(options_),
          .target_type = readers::parse_target_type(options_.target_type)};
}

/// Forgets the rows that were read, so that they are read anew as `settled` says.
void SparseDataModule::reset(Settled settled, bool is_settled) {
  settled_ = std::move(settled);
  is_settled_ = is_settled;
  highest_class_ = -1;
  without_targets_.clear();
  only_class_.clear();
  whole_ = nullptr;
  sets_ = {};
}

/// Only deviations are learned from the training rows alone. Rows that were read as they would be
/// without what was taken over, and that have none, stay where they are.
void SparseDataModule::learn_anew() {
  if (!options_.standardize && !std::exchange(has_taken_, false)) return;
  reset(unsettled(), /*is_settled=*/false);
}

void SparseDataModule::check_options() const {
  const auto& o = options_;
  if (o.train.empty() && o.val.empty() && o.test.empty() && o.predict.empty()) {
    throw ConfigError::conflict("train, val, test and predict are all empty",
                                "name a file in at least one of them");
  }
  check_not_below("batch_size", o.batch_size, 1);
  check_not_below("columns", o.columns, 0);
  check_not_below("num_classes", o.num_classes, 0);
  check_not_below("num_workers", o.num_workers, 0);
  check_not_below("shuffle_rows", o.shuffle_rows, 0);
  check_not_below("hash_bits", o.hash_bits, 0);
  if (o.format != "auto") sparse_format({}, o.format);
  require_options_of_format(o);
  if (o.stream && (o.val_split != 0.0 || o.test_split != 0.0)) {
    throw ConfigError::conflict(
        "stream = true can't go with val_split or test_split",
        "name files in val and test, or leave out stream to keep the rows in memory");
  }
  if (o.stream && !o.sampling.empty()) {
    throw ConfigError::conflict(
        fmt::format("stream = true can't go with sampling = {}", o.sampling),
        "leave out sampling, or leave out stream to keep the rows in memory");
  }
  if (!o.stream && o.shuffle_rows != 0) {
    throw ConfigError::conflict("shuffle_rows without stream = true",
                                "rows in memory are shuffled all together; leave it out");
  }
  split_sizes(1, o.val_split, o.test_split);
}

void SparseDataModule::setup(Stage stage) {
  settle();
  const bool is_fit = stage == Stage::fit;
  if (is_fit) load("train");
  if (is_fit || stage == Stage::validate) load("val");
  if (stage == Stage::test) load("test");
  if (stage == Stage::predict) load("predict");
  if (stage == Stage::predict) return;
  for (const auto& [set, file] : without_targets_) {
    if (set == "predict" || (set == "test" && stage != Stage::test)) continue;
    throw DataError(fmt::format(
        "{} has no targets, which training, validation and testing need; make the file with them, "
        "or name it in predict",
        file));
  }
  if (!is_fit || only_class_.empty()) return;
  throw DataError(
      fmt::format("{}, but a classifier needs rows of at least two classes to learn from; add rows "
                  "of another class, or set target_type = value if labels are numbers to predict",
                  only_class_));
}

/// Reads the first set that there is, unless a checkpoint has settled what it would.
void SparseDataModule::settle() {
  if (is_settled_) return;
  for (const char* set : {"train", "val", "test", "predict"}) {
    if (names_of(set).empty()) continue;
    load(set);
    return;
  }
}

const std::vector<std::string>& SparseDataModule::names_of(const std::string& set) const {
  const auto& o = options_;
  if (set == "train") return o.train;
  if (set == "val") return o.val;
  if (set == "test") return o.test;
  if (!o.predict.empty()) return o.predict;
  return o.test.empty() ? o.train : o.test;
}

DataLoaders SparseDataModule::stream_loader(const Set& set, bool is_train) const {
  if (set == nullptr) return {};
  const auto& o = options_;
  DataLoaderOptions loader{.batch_size = o.batch_size, .drop_last = is_train && o.drop_last};
  if (const auto* shards = dynamic_cast<const SparseShards*>(set.get())) {
    loader.num_workers = o.num_workers;
    loader.sampler =
        shards->sampler({.shuffle = is_train && o.shuffle, .shuffle_rows = o.shuffle_rows});
  }
  return DataLoader(set, loader);
}

DataLoaders SparseDataModule::train_dataloader() {
  if (!options_.stream) return SplitDataModule::train_dataloader();
  setup(Stage::fit);
  return stream_loader(sets_.train, true);
}

DataLoaders SparseDataModule::val_dataloader() {
  if (!options_.stream) return SplitDataModule::val_dataloader();
  setup(Stage::validate);
  return stream_loader(sets_.val, false);
}

DataLoaders SparseDataModule::test_dataloader() {
  if (!options_.stream) return SplitDataModule::test_dataloader();
  setup(Stage::test);
  return stream_loader(sets_.test, false);
}

DataLoaders SparseDataModule::predict_dataloader() {
  if (!options_.stream) return SplitDataModule::predict_dataloader();
  setup(Stage::predict);
  return stream_loader(sets_.predict, false);
}

StateDict SparseDataModule::fitted_state() {
  settle();
  StateDict state;
  state.values["num_features"] = settled_.files.columns;
  if (settled_.files.zero_based) state.values["zero_based"] = *settled_.files.zero_based;
  if (!settled_.hash.is_null()) state.values["hash"] = settled_.hash;
  if (settled_.target_type != readers::TargetType::automatic) {
    const bool are_classes = settled_.target_type == readers::TargetType::classes;
    state.values["target_type"] = are_classes ? "class" : "value";
  }
  const auto& names = settled_.class_names;
  state.values["class_names"] = Value::Array(names.begin(), names.end());
  if (settled_.standardization) settled_.standardization->save(state);
  return state;
}

void SparseDataModule::load_fitted_state(const StateDict& state) {
  note_taken_over();
  if (is_settled_ && same_fitted(state, fitted_state())) return;
  Settled taken = unsettled();
  auto& columns = taken.files.columns;
  const auto& values = state.values;
  if (values.contains("num_features")) {
    const int64_t known = values.at("num_features").as_int();
    if (columns != 0 && columns != known) {
      throw ConfigError::conflict(
          fmt::format("the model was trained on {} columns, but here columns = {}", known, columns),
          "leave columns out, so that they have the same meaning");
    }
    columns = known;
  }
  if (values.contains("zero_based") && !taken.files.zero_based) {
    taken.files.zero_based = values.at("zero_based").as_bool();
  }
  if (values.contains("hash")) {
    taken.hash = values.at("hash");
    take_hash_settings(taken.hash, taken.files);
  }
  if (values.contains("target_type") && taken.target_type == readers::TargetType::automatic) {
    taken.target_type = readers::parse_target_type(values.at("target_type").as_string());
  }
  taken.class_names = class_names_in(state);
  taken.standardization = Standardization::load(state);
  if (values.contains("target_type")) {
    require_standardized(taken.standardization, options_.standardize);
  }
  reset(std::move(taken), values.contains("num_features"));
  has_taken_ = true;
}

Value SparseDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

std::vector<std::string> SparseDataModule::class_names() {
  settle();
  return settled_.class_names;
}

int64_t SparseDataModule::num_classes() {
  settle();
  if (options_.num_classes > 0) return options_.num_classes;
  if (settled_.target_type != readers::TargetType::classes) return 0;
  const auto named = std::ssize(settled_.class_names);
  return std::max({highest_class_ + 1, named, int64_t{options_.stream ? 2 : 0}});
}

int64_t SparseDataModule::columns() {
  settle();
  return settled_.files.columns;
}

}  // namespace levin
