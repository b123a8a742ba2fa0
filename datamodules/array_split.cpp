#include <levin/datamodules/array.h>

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>

// How ArrayDataModule divides its rows, and what each stage needs of them.

namespace levin {
namespace {

std::span<const int64_t> as_span(const torch::Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), static_cast<size_t>(tensor.numel())};
}

/// Throws DataError if the split leaves no row to a set that `stage` needs and that was asked for.
void require_no_empty_set(const SplitSizes& sizes, int64_t rows, double val_split,
                          double test_split, Stage stage) {
  const auto require = [&](Stage needs, const char* option, double share, const char* set,
                           int64_t size) {
    if (stage != Stage::fit && stage != needs) return;
    if (share <= 0.0 || size > 0) return;
    throw DataError(
        fmt::format("{} = {} of {} rows comes to 0 rows after rounding, so the {} set would be "
                    "empty; raise it, or set it to 0",
                    option, share, rows, set));
  };
  require(Stage::validate, "val_split", val_split, "validation", sizes.val);
  require(Stage::test, "test_split", test_split, "test", sizes.test);
  if (stage != Stage::fit || sizes.train > 0) return;
  throw DataError(
      fmt::format("val_split = {} and test_split = {} take all {} rows, so the training set would "
                  "be empty; lower one of them",
                  val_split, test_split, rows));
}

}  // namespace

void ArrayDataModule::split() {
  sets_ = {};
  sizes_ = {};
  auto split = divided();
  find_standardization(split.train);
  const auto own = [this](const Arrays& set, const char* name) -> std::shared_ptr<const Dataset> {
    if (!set.x.defined()) return nullptr;
    return std::make_shared<TensorDataset>(standardized(set.x, name), set.y);
  };
  sets_.val = own(val_, "x_val");
  sets_.test = own(test_, "x_test");
  if (!all_.x.defined()) {
    const auto& set = test_.x.defined() ? test_ : val_;
    sets_.predict = inputs_alone(standardized(set.x, "x_test"));
    return;
  }
  const auto x = standardized(all_.x, "x");
  sets_.predict = inputs_alone(x);
  if (!all_.y.defined()) return;
  NamedTensors tensors{{"input", x}, {"target", all_.y}};
  if (all_.weight.defined()) tensors.emplace_back("weight", all_.weight);
  const auto whole = std::make_shared<TensorDataset>(std::move(tensors));
  const auto take = [&](std::shared_ptr<const Dataset>& set, std::vector<int64_t> chosen) {
    if (!chosen.empty()) set = std::make_shared<Subset>(whole, std::move(chosen));
  };
  take(sets_.train, std::move(split.train));
  take(sets_.val, std::move(split.val));
  take(sets_.test, std::move(split.test));
}

/// Divides the rows of x; they are in no set if they have no targets.
Split ArrayDataModule::divided() {
  if (!all_.x.defined() || !all_.y.defined()) return {};
  const int64_t rows = all_.x.size(0);
  sizes_ = split_sizes(rows, val_share(), test_share());
  auto order = shuffled_rows(rows, options_.seed);
  if (!options_.shuffle) std::sort(order.begin(), order.end());
  if (!options_.stratify) return split_in_order(order, sizes_);
  if (all_.y.scalar_type() != at::kLong || all_.y.dim() != 1) {
    throw ConfigError::conflict(
        "stratify = true needs classes, but the targets are values",
        "set stratify = false, or target_type = class if they are whole numbers");
  }
  const auto labels = all_.y.cpu();
  return split_by_class(order, sizes_, as_span(labels));
}

/// Takes the standardisation that was taken over, or else finds that of the training rows.
void ArrayDataModule::find_standardization(const std::vector<int64_t>& train) {
  fitted_.standardization = taken_.standardization;
  if (fitted_.standardization || !options_.standardize) return;
  if (train.empty()) {
    throw ConfigError::conflict(
        "standardize = true without training rows",
        "features are standardised by the mean and deviation of the training rows: give these as "
        "x with their targets, or a checkpoint of a model that was trained on standardised "
        "features");
  }
  fitted_.standardization = Standardization::of(all_.x, train);
}

torch::Tensor ArrayDataModule::standardized(const torch::Tensor& x, std::string_view name) const {
  return fitted_.standardization ? fitted_.standardization->apply(x, name) : x;
}

void ArrayDataModule::require_targets_for(Stage stage) const {
  const bool uses_own =
      (stage == Stage::validate && val_.x.defined()) || (stage == Stage::test && test_.x.defined());
  if (uses_own || all_.y.defined() || !all_.x.defined()) return;
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

void ArrayDataModule::require_rows_for(Stage stage) const {
  if (all_.x.defined()) {
    if (!all_.y.defined()) return;
    return require_no_empty_set(sizes_, all_.x.size(0), val_share(), test_share(), stage);
  }
  if (stage != Stage::fit) return;
  throw ConfigError::conflict("x is empty, but training needs it",
                              "name the file of the features, a .npy, .npz or .csv");
}

}  // namespace levin
