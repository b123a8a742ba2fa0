#include <levin/datamodules/image_folder.h>

#include <algorithm>
#include <utility>

#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <levin/datamodules/image_set.h>
#include <levin/datamodules/readers/image.h>
#include <levin/datamodules/sampling.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

constexpr auto kImageFolder = "image_folder";

/// The files with these numbers.
readers::ImageTree chosen_images(const readers::ImageTree& from, const std::vector<int64_t>& rows) {
  readers::ImageTree tree{.classes = from.classes};
  for (const int64_t row : rows) {
    tree.files.push_back(from.files[static_cast<size_t>(row)]);
    tree.labels.push_back(from.labels[static_cast<size_t>(row)]);
  }
  return tree;
}

/// Numbers the classes of `tree` as in `classes`. Throws DataError for a class that isn't there.
void renumber_image_classes(readers::ImageTree& tree, const std::vector<std::string>& classes,
                            const fs::path& folder) {
  std::vector<int64_t> numbers;
  for (const auto& name : tree.classes) {
    const auto found = std::find(classes.begin(), classes.end(), name);
    if (found == classes.end()) {
      throw DataError::bad_value(
          "the class", name, folder.string(),
          fmt::format("training had no folder of this name; it had {} classes, the first is '{}'",
                      classes.size(), classes.front()));
    }
    numbers.push_back(found - classes.begin());
  }
  for (auto& label : tree.labels) label = numbers[static_cast<size_t>(label)];
  tree.classes = classes;
}

std::string shape_words(const ImageShape& shape) {
  return fmt::format("channels = {} and image_size = [{}, {}]", shape.channels, shape.height,
                     shape.width);
}

}  // namespace

Fields describe(ImageFolderDataModuleOptions& o) {
  return fields_of<ImageFolderDataModuleOptions>({
      {"data_dir", &o.data_dir, "folder with train, val and test, or with a folder a class"},
      {"predict_dir", &o.predict_dir, "folder of images to predict; empty: predict in data_dir"},
      {"image_size", &o.image_size,
       "resize to [height, width] or [both]; empty: all have one size"},
      {"channels", &o.channels, "3: colours; 1: grey values"},
      shared_option("val_split", &o.val_split),
      shared_option("test_split", &o.test_split),
      shared_option("stratify", &o.stratify),
      shared_option("seed", &o.seed),
      image_option("batch_size", &o.batch_size),
      image_option("shuffle", &o.shuffle),
      shared_option("drop_last", &o.drop_last),
      shared_option("num_workers", &o.num_workers),
      shared_option("pin_memory", &o.pin_memory),
      {"cache_mb", &o.cache_mb, "MiB for decoded images; sets that don't fit are decoded anew"},
      shared_option("sampling", &o.sampling),
      shared_option("transforms", &o.transforms),
  });
}

ImageFolderDataModule::ImageFolderDataModule(ImageFolderDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)), options_(std::move(options)) {
  check_options();
  set_transforms(options_.transforms);
  options_.data_dir = expand_home(std::move(options_.data_dir), "data_dir");
  options_.predict_dir = expand_home(std::move(options_.predict_dir), "predict_dir");
  root_ = options_.data_dir;
}

void ImageFolderDataModule::check_options() const {
  const auto& o = options_;
  if (o.data_dir.empty()) {
    throw ConfigError::invalid_value("data_dir", "''", "must name the folder of the images");
  }
  if (o.channels != 1 && o.channels != 3) {
    throw ConfigError::invalid_value("channels", std::to_string(o.channels), "must be 1 or 3");
  }
  if (o.image_size.size() > 2) {
    throw ConfigError::invalid_value("image_size", fmt::format("{} numbers", o.image_size.size()),
                                     "must be height and width, or one number for both");
  }
  for (const int64_t size : o.image_size) {
    if (size >= 1 && size <= 16384) continue;
    throw ConfigError::invalid_value("image_size", std::to_string(size), "must be 1 to 16384");
  }
  if (o.cache_mb < 0) {
    throw ConfigError::invalid_value("cache_mb", std::to_string(o.cache_mb), "must be at least 0");
  }
  check_sampling(o.sampling);
  if (o.sampling == "weighted") {
    throw ConfigError::invalid_value("sampling", o.sampling,
                                     "needs weights, which images in folders don't have; choose "
                                     "stratified or balanced");
  }
  split_sizes(1, o.val_split, o.test_split);
}

bool ImageFolderDataModule::has_folder(const char* name) const {
  std::error_code ignored;
  return fs::is_directory(root_ / name, ignored);
}

/// Whether the folder has a folder for each set, instead of one for each class.
bool ImageFolderDataModule::has_sets() const {
  return has_folder("train") || has_folder("val") || has_folder("test");
}

RowSplit ImageFolderDataModule::row_split() const {
  const auto& o = options_;
  return {.file = o.data_dir,
          .val_split = has_folder("val") ? 0.0 : o.val_split,
          .test_split = has_folder("test") ? 0.0 : o.test_split,
          .stratify = o.stratify,
          .seed = o.seed};
}

/// The images and classes of a folder, numbered as those of the training.
readers::ImageTree ImageFolderDataModule::listed(const fs::path& folder) {
  auto tree = readers::list_image_classes(folder, folder == root_ ? Names{"predict"} : Names{});
  if (!classes_) classes_ = taken_classes_ ? *taken_classes_ : tree.classes;
  renumber_image_classes(tree, *classes_, folder);
  return tree;
}

const readers::ImageTree& ImageFolderDataModule::training() {
  if (!training_) training_ = listed(has_sets() ? root_ / "train" : root_);
  return *training_;
}

const Split& ImageFolderDataModule::split() {
  if (!split_) {
    const auto& tree = training();
    split_ = split_rows(static_cast<int64_t>(tree.files.size()), row_split(), tree.labels);
    for (auto* const rows : {&split_->train, &split_->val, &split_->test}) {
      std::sort(rows->begin(), rows->end());  // in the order of the files, as in folders of sets
    }
  }
  return *split_;
}

void ImageFolderDataModule::setup(Stage stage) {
  // Without training images, the first set that is listed has the classes.
  const bool can_train = !has_sets() || has_folder("train");
  if (stage == Stage::fit || (can_train && stage != Stage::predict && !taken_classes_)) {
    require_no_empty_set(std::ssize(training().files), row_split(), stage);
  }
  if (stage == Stage::fit && sets_.train == nullptr) {
    auto tree = chosen_images(training(), split().train);
    train_labels_ = tree.labels;
    sets_.train = dataset(std::move(tree));
  }
  if (stage == Stage::fit || stage == Stage::validate) make_held_out(sets_.val, "val", stage);
  if (stage == Stage::test) make_held_out(sets_.test, "test", stage);
  if (stage == Stage::predict) set_up_prediction();
}

/// Makes the validation or test set, from a folder of its own or from the training images.
void ImageFolderDataModule::make_held_out(std::shared_ptr<const Dataset>& set, const char* name,
                                          Stage stage) {
  if (set != nullptr) return;
  const bool is_test = std::string_view(name) == "test";
  readers::ImageTree tree;
  if (has_folder(name)) {
    tree = listed(root_ / name);
  } else if (!has_sets() || has_folder("train")) {
    tree = chosen_images(training(), is_test ? split().test : split().val);
    if (stage != Stage::fit && !std::exchange(split_is_noted_, true)) {
      auto text = note_on_split(trained_split_, row_split(), stage);
      if (!text.empty()) note(std::move(text));
    }
  }
  if (tree.files.empty()) return;
  if (is_test) test_files_ = tree.files;
  set = dataset(std::move(tree));
}

void ImageFolderDataModule::set_up_prediction() {
  if (sets_.predict != nullptr) return;
  fs::path folder = options_.predict_dir;
  readers::ImageTree tree;
  if (folder.empty() && has_folder("predict")) folder = root_ / "predict";
  if (folder.empty() && !has_sets()) {
    tree = readers::list_images(root_);
    if (!tree.files.empty()) folder = root_;
  } else if (!folder.empty()) {
    tree = readers::list_images(folder);
    if (tree.files.empty()) {
      throw DataError::empty(folder.string(),
                             "it must have images to predict (.png, .jpg, .jpeg) directly in it");
    }
  }
  if (folder.empty()) {
    setup(Stage::test);
    sets_.predict = sets_.test;
    folder = root_;
    tree.files = test_files_;
  } else {
    if (!classes_) classes_ = taken_classes_;
    sets_.predict = dataset(tree);
  }
  predicted_.clear();
  for (const auto& file : tree.files)
    predicted_.push_back(file.lexically_relative(folder).string());
}

/// Determines the size of all images from the options, the trained model or the first image.
void ImageFolderDataModule::find_shape(const fs::path& first_file) {
  if (shape_) return;
  const auto& o = options_;
  ImageShape shape{.channels = o.channels, .resizes = !o.image_size.empty()};
  if (shape.resizes) {
    shape.height = o.image_size.front();
    shape.width = o.image_size.back();
  } else if (taken_shape_) {
    shape = *taken_shape_;
  } else {
    const auto image = readers::read_image(first_file);
    shape.height = image.height;
    shape.width = image.width;
  }
  shape_ = shape;
}

/// A data set of these files, in memory if they fit.
std::shared_ptr<const Dataset> ImageFolderDataModule::dataset(readers::ImageTree tree) {
  find_shape(training_ && !training_->files.empty() ? training_->files.front()
                                                    : tree.files.front());
  const auto limit = static_cast<double>(options_.cache_mb) * 1048576.0;
  const double bytes =
      static_cast<double>(shape_->bytes()) * static_cast<double>(tree.files.size());
  if (static_cast<double>(cached_bytes_) + bytes > limit) {
    return std::make_shared<ImageFileDataset>(std::move(tree), *shape_);
  }
  cached_bytes_ += static_cast<int64_t>(bytes);
  NamedRows rows{{"input", Rows(read_images(tree.files, *shape_, options_.num_workers))}};
  if (!tree.labels.empty()) rows.emplace_back("target", Rows(at::tensor(tree.labels, at::kLong)));
  auto set = std::make_shared<TensorDataset>(TensorDataset::of_rows(std::move(rows)));
  set->set_scale("input", ByteScale{});
  return set;
}

void ImageFolderDataModule::adapt_loader(const Dataset& /*set*/, bool is_train,
                                         DataLoaderOptions& loader) const {
  if (!is_train || options_.sampling.empty()) return;
  loader.shuffle = false;
  if (options_.sampling == "stratified") {
    loader.sampler = std::make_shared<StratifiedSampler>(train_labels_);
  } else {
    loader.sampler = std::make_shared<WeightedSampler>(WeightedSampler::balancing(train_labels_),
                                                       std::ssize(train_labels_));
  }
}

StateDict ImageFolderDataModule::fitted_state() {
  StateDict state;
  if (!shape_) return state;
  state.values[kImageFolder] = Value::Object{{"channels", shape_->channels},
                                             {"height", shape_->height},
                                             {"width", shape_->width},
                                             {"resizes", shape_->resizes}};
  const auto names = class_names();
  state.values["class_names"] = Value::Array(names.begin(), names.end());
  state.values["split"] = to_value(row_split());
  save_transforms(state);
  return state;
}

void ImageFolderDataModule::load_fitted_state(const StateDict& state) {
  std::optional<Names> classes;
  if (state.values.contains("class_names")) classes = class_names_in(state);
  if (classes && classes->empty()) classes.reset();
  std::optional<ImageShape> shape;
  if (state.values.contains(kImageFolder)) {
    const auto& trained = state.values.at(kImageFolder);
    shape = ImageShape{.channels = trained.at("channels").as_int(),
                       .height = trained.at("height").as_int(),
                       .width = trained.at("width").as_int(),
                       .resizes = trained.at("resizes").as_bool()};
    const auto& size = options_.image_size;
    const auto here = ImageShape{.channels = options_.channels,
                                 .height = size.empty() ? shape->height : size.front(),
                                 .width = size.empty() ? shape->width : size.back()};
    if (shape_words(here) != shape_words(*shape)) {
      throw ConfigError::conflict(
          fmt::format("the model was trained with {}, but here it is {}", shape_words(*shape),
                      shape_words(here)),
          "set the same values, so that the images have the size that the model expects");
    }
    load_transforms(state);
    trained_split_ = state.values.contains("split") ? state.values.at("split") : Value();
  }
  const bool is_known = (!classes || !classes_ || *classes == *classes_) &&
                        (!shape || !shape_ || shape_words(*shape) == shape_words(*shape_));
  if (!is_known) reset();
  taken_classes_ = std::move(classes);
  taken_shape_ = shape;
}

/// Forgets the sets, which are those of another model.
void ImageFolderDataModule::reset() {
  sets_ = {};
  classes_.reset();
  shape_.reset();
  training_.reset();
  split_.reset();
  cached_bytes_ = 0;
  split_is_noted_ = false;
}

RowKeys ImageFolderDataModule::prediction_keys() { return {.name = "file", .texts = predicted_}; }

Value ImageFolderDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

}  // namespace levin
