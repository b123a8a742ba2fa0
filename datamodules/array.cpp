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

/// Throws DataError if the split leaves no row to a set that was asked for, or none to train on.
void require_no_empty_set(const SplitSizes& sizes, int64_t rows, double val_split,
                          double test_split) {
  const auto require = [rows](const char* set, int64_t size, const std::string& hint) {
    if (size > 0) return;
    throw DataError::empty(fmt::format("the {} set of {} rows", set, rows), hint);
  };
  if (val_split > 0.0) {
    require("validation", sizes.val,
            fmt::format("val_split = {} is less than one of them: raise it, or set it to 0",
                        val_split));
  }
  if (test_split > 0.0) {
    require("test", sizes.test,
            fmt::format("test_split = {} is less than one of them: raise it, or set it to 0",
                        test_split));
  }
  require("training", sizes.train, "lower val_split or test_split");
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
      {"batch_size", &o.batch_size, "rows a step"},
      {"val_split", &o.val_split, "share of the rows to validate on"},
      {"test_split", &o.test_split, "share of the rows to test on"},
      {"shuffle", &o.shuffle, "shuffle before splitting and in each epoch"},
      {"stratify", &o.stratify, "give every class its share of each set"},
      {"seed", &o.seed, "seed of the split"},
      {"target_type", &o.target_type, "class, value, or auto: integers are classes"},
      {"num_classes", &o.num_classes, "labels must be below it; 0: any"},
      {"dtype", &o.dtype, "type of features and values: float32, float64 or as_is"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
      {"pin_memory", &o.pin_memory, "page-locked batches for CUDA"},
  });
}

ArrayDataModule::ArrayDataModule(ArrayDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)), options_(std::move(options)) {
  if (options_.x.empty()) {
    throw ConfigError::invalid_value("x", "", "must name a .npy, .npz or .csv file");
  }
}

ArrayDataModule::ArrayDataModule(torch::Tensor x, torch::Tensor y, ArrayDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)),
      options_(std::move(options)),
      all_{std::move(x), std::move(y)} {
  const auto& o = options_;
  for (const auto* path : {&o.x, &o.y, &o.x_val, &o.y_val, &o.x_test, &o.y_test}) {
    if (!path->empty()) {
      throw ConfigError::conflict("tensors together with the file " + *path,
                                  "give either; own validation and test tensors go to "
                                  "set_validation and set_test");
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
  if (stage != Stage::predict && !all_.y.defined()) {
    throw DataError::empty("the targets", "without y there is nothing but prediction");
  }
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
      throw ConfigError::conflict("y_" + set + " without x_" + set, "give both or neither");
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
        "the shape of x" + suffix, readers::shape_text(checked.x.sizes()), "all rows",
        "they must be like those of x, " + readers::shape_text(all_.x.sizes()));
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
      throw ConfigError::conflict("stratify = true with targets that are no classes",
                                  "set stratify = false");
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
