#include <levin/datamodules/array.h>

#include <fmt/format.h>

#include <span>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>

// How ArrayDataModule divides its rows, and what each stage needs of them.

namespace levin {
namespace {

std::span<const int64_t> as_span(const torch::Tensor& tensor) {
  return {tensor.const_data_ptr<int64_t>(), static_cast<size_t>(tensor.numel())};
}

std::shared_ptr<const Dataset> pairs_of(const Rows& x, const torch::Tensor& y,
                                        const torch::Tensor& group) {
  NamedRows rows{{"input", x}, {"target", y}};
  if (group.defined()) rows.emplace_back("group", group);
  return std::make_shared<TensorDataset>(TensorDataset::of_rows(std::move(rows)));
}

}  // namespace

void ArrayDataModule::split() {
  sets_ = {};
  auto split = divided();
  find_standardization(learned_rows(split.train));
  const auto own = [this](const Arrays& set, const char* name) -> std::shared_ptr<const Dataset> {
    if (!set.x.is_defined()) return nullptr;
    return pairs_of(standardized(set.x, name), set.y, set.group);
  };
  sets_.val = own(val_, "x_val");
  sets_.test = own(test_, "x_test");
  if (!all_.x.is_defined()) {
    const auto& set = test_.x.is_defined() ? test_ : val_;
    sets_.predict = inputs_of(standardized(set.x, "x_test"), set.group);
    return;
  }
  const auto x = standardized(all_.x, "x");
  sets_.predict = inputs_of(x, all_.group);
  if (!all_.y.defined()) return;
  NamedRows rows{{"input", x}, {"target", all_.y}};
  if (all_.weight.defined()) rows.emplace_back("weight", all_.weight);
  if (all_.group.defined()) rows.emplace_back("group", all_.group);
  const auto whole = std::make_shared<TensorDataset>(TensorDataset::of_rows(std::move(rows)));
  const auto take = [&](std::shared_ptr<const Dataset>& set, std::vector<int64_t> chosen) {
    if (!chosen.empty()) set = std::make_shared<Subset>(whole, std::move(chosen));
  };
  take(sets_.train, std::move(split.train));
  take(sets_.val, std::move(split.val));
  take(sets_.test, std::move(split.test));
}

/// Divides the rows of x; they are in no set if they have no targets.
Split ArrayDataModule::divided() {
  if (!all_.x.is_defined() || !all_.y.defined()) return {};
  torch::Tensor labels;
  if (options_.stratify) {
    if (all_.y.scalar_type() != at::kLong || all_.y.dim() != 1) {
      throw ConfigError::conflict(
          "stratify = true needs classes, but the targets are values",
          "set stratify = false, or target_type = class if they are whole numbers");
    }
    labels = all_.y.cpu();
  }
  const auto labels_of_rows = labels.defined() ? as_span(labels) : std::span<const int64_t>();
  return split_rows(all_.x.size(), row_split(), labels_of_rows);
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

Rows ArrayDataModule::standardized(const Rows& x, std::string_view name) const {
  const auto& by = fitted_.standardization;
  return by ? by->apply(x, name) : x;
}

void ArrayDataModule::require_targets_for(Stage stage) const {
  const bool uses_own = (stage == Stage::validate && val_.x.is_defined()) ||
                        (stage == Stage::test && test_.x.is_defined());
  if (uses_own || all_.y.defined() || !all_.x.is_defined()) return;
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
  if (all_.x.is_defined()) {
    if (!all_.y.defined()) return;
    return require_no_empty_set(all_.x.size(), row_split(), stage);
  }
  if (stage != Stage::fit) return;
  throw ConfigError::conflict("x is empty, but training needs it",
                              "name the file of the features, a .npy, .npz or .csv");
}

/// Refuses training rows that all have the same class. The first two rows of several classes end
/// the search.
void ArrayDataModule::refuse_single_class() const {
  const auto* const train = dynamic_cast<const Subset*>(sets_.train.get());
  const bool are_classes = fitted_.target_type == readers::TargetType::classes;
  if (!are_classes || train == nullptr || all_.y.dim() != 1) return;
  const auto classes = all_.y.cpu();
  const auto* const label = classes.const_data_ptr<int64_t>();
  const auto& rows = train->rows();
  const int64_t first = label[rows.front()];
  for (const int64_t row : rows) {
    if (label[row] != first) return;
  }
  const auto& o = options_;
  const bool has_name = fitted_.class_names && !fitted_.class_names->empty();
  const auto name = has_name
                        ? readers::in_quotes(fitted_.class_names->at(static_cast<size_t>(first)))
                        : std::to_string(first);
  throw DataError(fmt::format(
      "{}: all {} training rows have the class {}, but a classifier needs rows of two classes at "
      "least to learn from. Check the targets, and that rows of all classes are trained on "
      "(stratify = true); or set target_type = value if they are numbers to predict.",
      !o.y.empty()   ? o.y
      : !o.x.empty() ? o.x
                     : "y",
      rows.size(), name));
}

}  // namespace levin
