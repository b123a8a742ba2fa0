#include <levin/datamodules/array.h>

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/target_type.h>
#include <levin/datamodules/splits.h>
#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

std::span<const int64_t> as_span(const torch::Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), static_cast<size_t>(tensor.numel())};
}

std::string row_shape(const torch::Tensor& rows) {
  return readers::shape_text(rows.sizes().slice(1));
}

/// Throws DataError if the split leaves no row to a set that was asked for, or none to train on.
void require_no_empty_set(const SplitSizes& sizes, int64_t rows, double val_split,
                          double test_split) {
  const auto require = [rows](const char* option, double share, const char* set, int64_t size) {
    if (share <= 0.0 || size > 0) return;
    throw DataError(
        fmt::format("{} = {} of {} rows comes to 0 rows after rounding, so the {} set would be "
                    "empty; raise it, or set it to 0",
                    option, share, rows, set));
  };
  require("val_split", val_split, "validation", sizes.val);
  require("test_split", test_split, "test", sizes.test);
  if (sizes.train > 0) return;
  throw DataError(
      fmt::format("val_split = {} and test_split = {} take all {} rows, so the training set would "
                  "be empty; lower one of them",
                  val_split, test_split, rows));
}

}  // namespace

Fields describe(ArrayDataModuleOptions& o) {
  return fields_of<ArrayDataModuleOptions>({
      {"x", &o.x, "file of features: .npy, .npz or .csv"},
      {"y", &o.y, "file of targets; empty: in the file of x"},
      {"x_val", &o.x_val, "file of validation features, instead of val_split"},
      {"y_val", &o.y_val, "file of validation targets; empty: in the file of x_val"},
      {"x_test", &o.x_test, "file of test features, instead of test_split"},
      {"y_test", &o.y_test, "file of test targets; empty: in the file of x_test"},
      {"target_column", &o.target_column, "target column of a CSV file: name, number or none"},
      {"batch_size", &o.batch_size, "rows of a batch on each device"},
      {"val_split", &o.val_split, "share of the rows to validate on"},
      {"test_split", &o.test_split, "share of the rows to test on"},
      {"shuffle", &o.shuffle, "shuffle before splitting and in each epoch"},
      {"stratify", &o.stratify, "split so that every class has its share of each set"},
      {"seed", &o.seed, "seed of the split"},
      {"target_type", &o.target_type, "class, value, or auto (integers are classes)"},
      {"num_classes", &o.num_classes, "labels must be below it; 0: no limit"},
      {"dtype", &o.dtype, "type of features and values: float32, float64 or as_is"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
      {"pin_memory", &o.pin_memory, "put batches into page-locked memory for CUDA"},
  });
}

ArrayDataModule::ArrayDataModule(ArrayDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)), options_(std::move(options)) {
  if (options_.x.empty()) {
    throw ConfigError::conflict("x is empty",
                                "name the file of the features, a .npy, .npz or .csv");
  }
}

ArrayDataModule::ArrayDataModule(torch::Tensor x, torch::Tensor y, ArrayDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)),
      options_(std::move(options)),
      all_{std::move(x), std::move(y)} {
  const auto& o = options_;
  for (const auto* path : {&o.x, &o.y, &o.x_val, &o.y_val, &o.x_test, &o.y_test}) {
    if (!path->empty()) {
      throw ConfigError::conflict(
          "the data was given as tensors, but the options name the file " + *path,
          "leave the file out; set_validation and set_test take tensors to validate and test on");
    }
  }
}

void ArrayDataModule::set_validation(torch::Tensor x, torch::Tensor y) {
  val_ = {std::move(x), std::move(y)};
  loaded_ = false;
}

void ArrayDataModule::set_test(torch::Tensor x, torch::Tensor y) {
  test_ = {std::move(x), std::move(y)};
  loaded_ = false;
}

void ArrayDataModule::setup(Stage stage) {
  load();
  if (stage == Stage::predict || all_.y.defined()) return;
  if (options_.x.empty()) {
    throw DataError(
        "y is undefined, but training, validation and testing need targets; give one for each row "
        "of x");
  }
  throw DataError(
      fmt::format("{} has no targets, which training, validation and testing need; name their file "
                  "in y, or the column of a CSV file in target_column",
                  options_.x));
}

void ArrayDataModule::load() {
  if (loaded_) return;
  if (!all_.x.defined() && !options_.x.empty()) read_files();
  all_ = check(all_, "");
  if (val_.x.defined() || val_.y.defined()) val_ = check(val_, "_val");
  if (test_.x.defined() || test_.y.defined()) test_ = check(test_, "_test");
  split();
  sets_.predict = std::make_shared<TensorDataset>(NamedTensors{{"input", all_.x}});
  loaded_ = true;
}

void ArrayDataModule::read_files() {
  const auto& o = options_;
  auto read = read_arrays({.x = o.x, .y = o.y, .target_column = o.target_column});
  const auto read_own = [&](const std::string& x, const std::string& y, const std::string& set) {
    if (x.empty() && y.empty()) return Arrays{};
    if (x.empty()) {
      throw ConfigError::conflict(
          fmt::format("y_{0} names the file {1}, but x_{0} is empty", set, y),
          fmt::format("name the file of the features in x_{0}, or leave out y_{0}", set));
    }
    auto own = read_arrays({.x = x,
                            .y = y,
                            .target_column = o.target_column,
                            .x_name = "x_" + set,
                            .y_name = "y_" + set});
    return Arrays{own.x, renumber_classes(own.y, own.class_names, read.class_names, "y_" + set)};
  };
  val_ = read_own(o.x_val, o.y_val, "val");
  test_ = read_own(o.x_test, o.y_test, "test");
  all_ = {read.x, read.y};
  class_names_ = std::move(read.class_names);
}

ArrayDataModule::Arrays ArrayDataModule::check(const Arrays& arrays,
                                               const std::string& suffix) const {
  const bool is_whole = suffix.empty();
  Arrays checked{checked_features(arrays.x, options_.dtype, "x" + suffix), {}};
  if (!is_whole && checked.x.sizes().slice(1) != all_.x.sizes().slice(1)) {
    throw DataError::bad_value(
        "the shape of a row",
        fmt::format("{}, but {} in x", row_shape(checked.x), row_shape(all_.x)), "x" + suffix,
        "the two must be the same");
  }
  if (is_whole && !arrays.y.defined()) return checked;  // for prediction alone
  checked.y = checked_targets(arrays.y, readers::parse_target_type(options_.target_type),
                              options_.num_classes, options_.dtype, "y" + suffix);
  if (checked.y.size(0) != checked.x.size(0)) {
    throw DataError::rows_differ("x" + suffix, checked.x.size(0), "y" + suffix, checked.y.size(0));
  }
  return checked;
}

void ArrayDataModule::split() {
  if (!all_.y.defined()) return;
  const double val_split = val_.x.defined() ? 0.0 : options_.val_split;
  const double test_split = test_.x.defined() ? 0.0 : options_.test_split;
  const int64_t rows = all_.x.size(0);
  const auto sizes = split_sizes(rows, val_split, test_split);
  require_no_empty_set(sizes, rows, val_split, test_split);
  auto order = shuffled_rows(rows, options_.seed);
  if (!options_.shuffle) std::sort(order.begin(), order.end());
  Split split;
  if (options_.stratify) {
    if (all_.y.scalar_type() != at::kLong || all_.y.dim() != 1) {
      throw ConfigError::conflict(
          "stratify = true needs classes, but the targets are values",
          "set stratify = false, or target_type = class if they are whole numbers");
    }
    const auto labels = all_.y.cpu();
    split = split_by_class(order, sizes, as_span(labels));
  } else {
    split = split_in_order(order, sizes);
  }
  const auto whole = std::make_shared<TensorDataset>(all_.x, all_.y);
  const auto part = [&](std::vector<int64_t> chosen, const Arrays& own) {
    std::shared_ptr<const Dataset> set;
    if (own.x.defined()) {
      set = std::make_shared<TensorDataset>(own.x, own.y);
    } else if (!chosen.empty()) {
      set = std::make_shared<Subset>(whole, std::move(chosen));
    }
    return set;
  };
  sets_.train = part(std::move(split.train), {});
  sets_.val = part(std::move(split.val), val_);
  sets_.test = part(std::move(split.test), test_);
}

Value ArrayDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

std::vector<int64_t> ArrayDataModule::dims() {
  load();
  return all_.x.sizes().slice(1).vec();
}

int64_t ArrayDataModule::num_classes() {
  load();
  if (options_.num_classes > 0) return options_.num_classes;
  if (!all_.y.defined() || all_.y.scalar_type() != at::kLong) return 0;
  int64_t highest = 0;
  for (const auto* y : {&all_.y, &val_.y, &test_.y}) {
    if (y->defined()) highest = std::max(highest, y->max().item<int64_t>());
  }
  return highest + 1;
}

std::vector<std::string> ArrayDataModule::class_names() {
  load();
  return class_names_;
}

}  // namespace levin
