#include <levin/datamodules/array.h>

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include <levin/datamodules/file_arrays.h>
#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

/// Refuses options about columns of CSV files for data that are tensors.
void require_no_csv_options(const ArrayDataModuleOptions& o) {
  const ArrayDataModuleOptions unset;
  const std::pair<const char*, bool> set[] = {
      {"target_columns", !o.target_columns.empty()},
      {"group_column", !o.group_column.empty()},
      {"target_column", o.target_column != unset.target_column},
      {"header", o.header != unset.header},
      {"ignore_extra_columns", o.ignore_extra_columns}};
  for (const auto& [name, is_set] : set) {
    if (!is_set) continue;
    throw ConfigError::conflict(
        fmt::format("{} is set for data given as tensors, but it is about columns of a CSV file",
                    name),
        "leave it out; y may have several columns, and a TensorDataset may have the tensor "
        "\"group\"");
  }
}

/// Refuses a target column if all files of features have files of targets beside them.
void require_used_target_column(const ArrayDataModuleOptions& o) {
  if (o.target_column == ArrayDataModuleOptions().target_column || o.target_column == "none") {
    return;
  }
  const std::pair<const std::string*, const std::string*> files[] = {
      {&o.x, &o.y}, {&o.x_val, &o.y_val}, {&o.x_test, &o.y_test}};
  for (const auto& [x, y] : files) {
    if (!x->empty() && y->empty()) return;
  }
  throw ConfigError::conflict(
      fmt::format("both target_column = {} and files of targets", o.target_column),
      "leave out target_column if the targets are in files of their own (y, y_val, y_test), or "
      "leave out these files");
}

}  // namespace

Fields describe(ArrayDataModuleOptions& o) {
  return fields_of<ArrayDataModuleOptions>({
      {"x", &o.x, "file of features: .npy, .npz or .csv; needed to train"},
      {"y", &o.y, "file of targets; empty: in the file of x"},
      {"x_val", &o.x_val, "file of validation features, instead of val_split"},
      {"y_val", &o.y_val, "file of validation targets; empty: in the file of x_val"},
      {"x_test", &o.x_test, "file of test features, instead of test_split; may be without x"},
      {"y_test", &o.y_test, "file of test targets; empty: in the file of x_test"},
      {"target_column", &o.target_column, "target column of a CSV file: name, number or none"},
      {"target_columns", &o.target_columns, "several target columns of a CSV file, instead of one"},
      {"group_column", &o.group_column, "column of a CSV file with the number of the row's group"},
      {"header", &o.header, "first lines of CSV files name the columns: true, false or auto"},
      {"ignore_extra_columns", &o.ignore_extra_columns,
       "leave out columns that aren't in the training data"},
      shared_option("batch_size", &o.batch_size),
      shared_option("val_split", &o.val_split),
      shared_option("test_split", &o.test_split),
      shared_option("shuffle", &o.shuffle),
      shared_option("stratify", &o.stratify),
      shared_option("seed", &o.seed),
      {"target_type", &o.target_type, "class, value, or auto (integers are classes)"},
      {"num_classes", &o.num_classes, "labels must be below it; 0: no limit"},
      {"dtype", &o.dtype, "type of features and values: float32, float64 or as_is"},
      shared_option("drop_last", &o.drop_last),
      shared_option("num_workers", &o.num_workers),
      shared_option("pin_memory", &o.pin_memory),
      {"standardize", &o.standardize, "features to mean 0 and deviation 1 in the training rows"},
      {"weights", &o.weights, "file of the weights of the rows of x; empty: no weights"},
      shared_option("sampling", &o.sampling),
      shared_option("transforms", &o.transforms),
  });
}

ArrayDataModule::ArrayDataModule(ArrayDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)), options_(std::move(options)) {
  set_sampling(options_.sampling);
  set_transforms(options_.transforms);
  if (options_.x.empty() && options_.x_val.empty() && options_.x_test.empty()) {
    throw ConfigError::conflict("x is empty",
                                "name the file of the features, a .npy, .npz or .csv");
  }
  auto& o = options_;
  const std::pair<std::string*, const char*> files[] = {
      {&o.x, "x"},           {&o.y, "y"},           {&o.x_val, "x_val"},    {&o.y_val, "y_val"},
      {&o.x_test, "x_test"}, {&o.y_test, "y_test"}, {&o.weights, "weights"}};
  for (const auto& [path, name] : files) *path = expand_home(std::move(*path), name);
  readers::parse_csv_header(options_.header);
  check_chosen_columns();
  require_used_target_column(options_);
}

ArrayDataModule::ArrayDataModule(Rows x, torch::Tensor y, ArrayDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)),
      options_(std::move(options)),
      all_{std::move(x), std::move(y)} {
  set_sampling(options_.sampling);
  set_transforms(options_.transforms);
  const auto& o = options_;
  require_no_csv_options(o);
  for (const auto* path : {&o.x, &o.y, &o.x_val, &o.y_val, &o.x_test, &o.y_test, &o.weights}) {
    if (!path->empty()) {
      throw ConfigError::conflict(
          "the data was given as tensors, but the options name the file " + *path,
          "leave the file out; set_validation and set_test take tensors to validate and test on");
    }
  }
}

void ArrayDataModule::set_weights(torch::Tensor weights) {
  all_.weight = std::move(weights);
  loaded_ = false;
}

void ArrayDataModule::set_validation(Rows x, torch::Tensor y) {
  val_ = {std::move(x), std::move(y)};
  loaded_ = false;
  sets_.predict = nullptr;
}

void ArrayDataModule::set_test(Rows x, torch::Tensor y) {
  test_ = {std::move(x), std::move(y)};
  loaded_ = false;
  sets_.predict = nullptr;
}

void ArrayDataModule::setup(Stage stage) {
  if (stage == Stage::predict) return load_for_prediction();
  load();
  require_targets_for(stage);
  require_rows_for(stage);
  if (stage == Stage::fit) refuse_single_class();
  note_other_split(stage);
}

void ArrayDataModule::load() {
  if (loaded_) return;
  if (!is_read_) {
    fitted_ = taken_;
    if (!own_class_names_.empty()) fitted_.class_names = own_class_names_;
    const auto type = readers::parse_target_type(options_.target_type);
    if (type != readers::TargetType::automatic) fitted_.target_type = type;
    read_files();
  }
  check_sets();
  check_weights();
  split();
  loaded_ = true;
}

/// Reads the features of the first set that there is. Targets play no part in prediction, so that
/// the rows may be unlabelled, too few to be split, or of classes that training never met.
void ArrayDataModule::load_for_prediction() {
  if (sets_.predict) return;
  const auto& o = options_;
  if (o.standardize && !taken_.standardization) return load();  // it depends on the training rows
  const auto use = [&](const Arrays& arrays, const std::string& path, bool has_own_targets,
                       const std::string& name) {
    auto set = arrays;
    if (!set.x.is_defined() && !path.empty()) set = read_prediction(path, has_own_targets, name);
    if (!set.x.is_defined()) return false;
    const auto x = checked(set.x, name);
    const auto& by = taken_.standardization;
    sets_.predict = inputs_of(by ? by->apply(x, name) : x, set.group);
    return true;
  };
  if (use(all_, o.x, !o.y.empty(), "x")) return;
  if (use(test_, o.x_test, !o.y_test.empty(), "x_test")) return;
  if (use(val_, o.x_val, !o.y_val.empty(), "x_val")) return;
  checked_rows({}, o.dtype, "x");  // throws: it is missing
}

void ArrayDataModule::set_floating_type(at::ScalarType type) {
  if (type == floating_type()) return;
  const auto before = number_type(options_.dtype);
  SplitDataModule::set_floating_type(type);
  if (number_type(options_.dtype) == before) return;
  if (type == at::kDouble && has_rounded_) {
    note(
        "precision = 64-true: the data were converted to float32 before, when a size or a loader "
        "was asked for, and keep only the digits of float32. Set dtype = float64 of the data.");
  }
  reset();
}

/// Forgets what was loaded, so that the next `setup` loads it again.
void ArrayDataModule::reset() {
  const auto& o = options_;
  if (!o.x.empty()) all_ = {};
  if (!o.x_val.empty()) val_ = {};
  if (!o.x_test.empty()) test_ = {};
  loaded_ = false;
  is_read_ = false;
  sets_ = {};
}

void ArrayDataModule::read_files() {
  const auto& o = options_;
  auto all = read_set(o.x, o.y, "");
  auto val = read_set(o.x_val, o.y_val, "_val");
  auto test = read_set(o.x_test, o.y_test, "_test");
  if (!o.weights.empty()) {
    all.weight = read_arrays({.x = o.weights,
                              .target_column = "none",
                              .header = readers::parse_csv_header(o.header),
                              .x_name = "weight"})
                     .x;
  }
  if (all.x.is_defined()) all_ = std::move(all);
  if (val.x.is_defined()) val_ = std::move(val);
  if (test.x.is_defined()) test_ = std::move(test);
  is_read_ = !o.x.empty() || !o.x_val.empty() || !o.x_test.empty();
}

ArrayDataModule::Arrays ArrayDataModule::read_set(const std::string& x, const std::string& y,
                                                  const std::string& suffix) {
  if (x.empty() && y.empty()) return {};
  const bool has_several = !options_.target_columns.empty();
  if (x.empty()) {
    throw ConfigError::conflict(
        fmt::format("y{0} names the file {1}, but x{0} is empty", suffix, y),
        fmt::format("name the file of the features in x{0}, or leave out y{0}", suffix));
  }
  auto& names = fitted_.class_names;
  auto read = read_arrays({.x = x,
                           .y = y,
                           .target_column = has_several ? "none" : options_.target_column,
                           .header = readers::parse_csv_header(options_.header),
                           .like = fitted_.layout,
                           .ignore_extra_columns = options_.ignore_extra_columns,
                           .x_name = "x" + suffix,
                           .y_name = "y" + suffix,
                           .may_be_plain = x != options_.x,
                           .text_targets = names && !names->empty()});
  for (auto& text : read.notes) note(std::move(text));
  if (!fitted_.layout) fitted_.layout = read.layout;
  Arrays arrays;
  if (has_chosen_columns()) take_columns(read, arrays, x, /*may_lack_targets=*/false);
  arrays.x = read.x;
  arrays.y = read.y;
  if (!read.y.defined() || has_several) return arrays;
  if (names) {
    const auto name = fmt::format("{} (y{})", y.empty() ? x : y, suffix);
    arrays.y = renumber_classes(read.y, read.class_names, *names, name);
    if (!read.class_names.empty() && are_class_numbers(read.class_names, *names)) {
      note(
          fmt::format("{}: no target is the name of a class, so they are taken for the classes' "
                      "numbers: 0 for {} and so on.",
                      name, readers::in_quotes(names->front())));
    }
  } else {
    names = std::move(read.class_names);
  }
  return arrays;
}

/// Sparse rows stay what they are.
Rows ArrayDataModule::checked(const Rows& x, std::string_view name) const {
  const bool is_sparse = x.is_sparse() || (x.is_defined() && x.source().layout() != at::kStrided);
  return checked_rows(x, is_sparse ? options_.dtype : number_type(options_.dtype), name);
}

void ArrayDataModule::check_sets() {
  const auto is_given = [](const Arrays& set) { return set.x.is_defined() || set.y.defined(); };
  const std::pair<Arrays*, std::string> sets[] = {{&all_, ""}, {&val_, "_val"}, {&test_, "_test"}};
  const bool needs_all = !is_given(val_) && !is_given(test_);
  const std::pair<Arrays*, std::string>* first = nullptr;
  for (const auto& each : sets) {
    const auto& [set, suffix] = each;
    const bool is_all = set == &all_;
    if (!is_given(*set) && !(is_all && needs_all)) continue;
    Rows x = checked(set->x, "x" + suffix);
    has_rounded_ |= !is_read_ && set->x.dtype() == at::kDouble && x.dtype() == at::kFloat;
    set->x = std::move(x);
    if (first == nullptr) first = &each;
    const auto shape = set->x.row_shape();
    if (const auto other = first->first->x.row_shape(); shape != other) {
      throw DataError::bad_value("the shape of a row",
                                 fmt::format("{}, but {} in x{}", readers::shape_text(shape),
                                             readers::shape_text(other), first->second),
                                 "x" + suffix, "the two must be the same");
    }
    if (is_all && !set->y.defined()) continue;  // for prediction alone
    check_targets(*set, suffix);
  }
}

void ArrayDataModule::check_targets(Arrays& arrays, const std::string& suffix) {
  auto& type = fitted_.target_type;
  int64_t limit = options_.num_classes;
  if (limit == 0 && fitted_.class_names) limit = std::ssize(*fitted_.class_names);
  arrays.y = checked_targets(arrays.y, type, limit, number_type(options_.dtype), "y" + suffix);
  if (type == readers::TargetType::automatic) {
    const bool are_classes = c10::isIntegralType(arrays.y.scalar_type(), /*includeBool=*/true);
    type = are_classes ? readers::TargetType::classes : readers::TargetType::values;
  }
  const int64_t rows = arrays.x.size();
  if (arrays.y.size(0) == rows) return;
  const auto error = DataError::rows_differ("x" + suffix, rows, "y" + suffix, arrays.y.size(0));
  const auto& o = options_;
  const auto& own_file = suffix.empty() ? o.y : suffix == "_val" ? o.y_val : o.y_test;
  if (own_file.empty() || std::abs(rows - arrays.y.size(0)) != 1) throw error;
  throw DataError(fmt::format(
      "{}. If the files are CSV, the first line of one of them may be a header that was "
      "taken for a row, or the reverse: set header = {}",
      error.what(), o.header == "auto" ? "true or false" : "auto"));
}

void ArrayDataModule::check_weights() {
  auto& weight = all_.weight;
  if (!weight.defined()) return;
  if (!all_.x.is_defined()) {
    throw ConfigError::conflict(
        "there are weights, but x is empty",
        "the weights are those of the rows of x; give x, or leave them out");
  }
  weight = checked_features(weight, number_type(options_.dtype), "weights");
  if (weight.dim() == 2 && weight.size(1) == 1) weight = weight.squeeze(1);
  if (weight.dim() != 1) {
    throw DataError::bad_value("the shape", readers::shape_text(weight.sizes()), "weights",
                               "it must be [rows], with one weight for each row of x");
  }
  if (weight.size(0) != all_.x.size()) {
    throw DataError::rows_differ("x", all_.x.size(), "weights", weight.size(0));
  }
}

Value ArrayDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

std::vector<int64_t> ArrayDataModule::dims() {
  load();
  const auto& own = test_.x.is_defined() ? test_.x : val_.x;
  return (all_.x.is_defined() ? all_.x : own).row_shape().vec();
}

int64_t ArrayDataModule::num_classes() {
  load();
  if (options_.num_classes > 0) return options_.num_classes;
  if (fitted_.target_type != readers::TargetType::classes) return 0;
  int64_t classes = fitted_.class_names ? std::ssize(*fitted_.class_names) : 0;
  for (const auto* y : {&all_.y, &val_.y, &test_.y}) {
    if (y->defined()) classes = std::max(classes, y->max().item<int64_t>() + 1);
  }
  return classes;
}

std::vector<std::string> ArrayDataModule::class_names() {
  load();
  return fitted_.class_names.value_or(std::vector<std::string>());
}

}  // namespace levin
