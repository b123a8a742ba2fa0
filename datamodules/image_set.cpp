#include <levin/datamodules/image_set.h>

#include <map>
#include <utility>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/splits.h>
#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>
#include <levin/framework/tensor/buffer.h>

namespace levin {

Field image_option(const std::string& name, FieldPointer value) {
  static const std::map<std::string, const char*> kHelp = {
      {"mirrors", "addresses to download from, tried in this order"},
      {"val_split", "validation images: an int is their number, a float their share"},
      {"batch_size", "images of a batch on each device"},
      {"shuffle", "shuffle the training images in each epoch"},
      {"normalize", "map pixels, which are from 0 to 1, to (pixel - mean) / std"},
      {"mean", "see normalize"},
      {"std", "see normalize"},
      {"storage", "type of the images in memory: uint8 or float32"},
      {"standardize", "pixels to mean 0 and deviation 1 in the training images"}};
  return {name, value, kHelp.at(name)};
}

void refuse_idle_pixels() {
  throw ConfigError::conflict("mean or std is set, but normalize is false",
                              "set normalize = true, or leave them out");
}

ImageSetDataModule::ImageSetDataModule(Description description, ImageSetSettings settings,
                                       DataLoaderOptions loader)
    : SplitDataModule(std::move(loader)),
      set_(std::move(description)),
      settings_(std::move(settings)) {
  check_settings();
  set_sampling(settings_.sampling);
  set_transforms(settings_.transforms);
  settings_.data_dir = expand_home(std::move(settings_.data_dir), "data_dir");
}

int64_t ImageSetDataModule::val_rows() const {
  const auto& split = settings_.val_split;
  if (split.is_count()) return split.count();
  return static_cast<int64_t>(split.fraction() * static_cast<double>(set_.train_rows));
}

void ImageSetDataModule::check_settings() const {
  const auto& split = settings_.val_split;
  const auto text =
      split.is_count() ? fmt::format("{}", split.count()) : fmt::format("{}", split.fraction());
  if (!(split.is_count() || (split.fraction() >= 0.0 && split.fraction() <= 1.0)) ||
      val_rows() < 0 || val_rows() >= set_.train_rows) {
    throw ConfigError::invalid_value(
        "val_split", text,
        fmt::format("must be a number of images from 0 to {}, or a share of at least 0 and less "
                    "than 1",
                    set_.train_rows - 1));
  }
  if (val_rows() == 0 && !split.is_count() && split.fraction() > 0.0) {
    throw ConfigError::invalid_value(
        "val_split", text,
        fmt::format("of {} images it comes to 0 after rounding; raise it, or set it to 0",
                    set_.train_rows));
  }
  if (settings_.storage != "uint8" && settings_.storage != "float32") {
    throw ConfigError::unknown_name("storage", settings_.storage, {"uint8", "float32"});
  }
  if (!(settings_.std > 0.0)) {
    throw ConfigError::invalid_value("std", fmt::format("{}", settings_.std), "must be above 0");
  }
}

void ImageSetDataModule::prepare_data() {
  set_.files->obtain(settings_.data_dir, settings_.mirrors, settings_.download);
}

void ImageSetDataModule::setup(Stage stage) {
  const bool is_test = stage == Stage::test || stage == Stage::predict;
  if (!is_test || (settings_.standardize && !standardization_ && !taken_)) setup_training();
  if (!is_test) return;
  if (sets_.test == nullptr) sets_.test = standardized(kept_or_loaded(/*is_test=*/true));
  sets_.predict = sets_.test;
}

/// Images and labels, in the shape and type that the settings ask for.
std::shared_ptr<const TensorDataset> ImageSetDataModule::load_set(bool is_test) const {
  const double mean = settings_.normalize ? settings_.mean : 0.0;
  const double std = settings_.normalize ? settings_.std : 1.0;
  auto [x, y] = set_.files->load(settings_.data_dir, is_test);
  if (x.sizes().slice(1) != at::IntArrayRef(set_.shape)) {
    throw DataError::bad_value(
        "the shape of an image", readers::shape_text(x.sizes().slice(1)), settings_.data_dir,
        fmt::format("the images of this set have the shape {}", readers::shape_text(set_.shape)));
  }
  if (!is_test && x.size(0) != set_.train_rows) {
    throw DataError::bad_value("the number of training images", std::to_string(x.size(0)),
                               settings_.data_dir,
                               fmt::format("this set has {} of them", set_.train_rows));
  }
  if (settings_.flatten) x = x.flatten(1);
  const bool is_bytes = settings_.storage == "uint8";
  if (!is_bytes) {
    x = converted_in_huge_pages(x, at::kFloat).div_(255.0);
    if (settings_.normalize) x.sub_(mean).div_(std);
  }
  auto set = std::make_shared<TensorDataset>(x, y);
  if (is_bytes) {
    set->set_scale("input", {.scale = static_cast<float>(1.0 / (255.0 * std)),
                             .zero_point = static_cast<float>(255.0 * mean)});
  }
  return set;
}

std::shared_ptr<const TensorDataset> ImageSetDataModule::kept_or_loaded(bool is_test) {
  auto& kept = is_test ? kept_test_ : kept_train_;
  if (kept != nullptr) return kept;
  auto loaded = load_set(is_test);
  if (keeps_images_) kept = loaded;
  return loaded;
}

void ImageSetDataModule::setup_training() {
  if (sets_.train != nullptr) return;
  const auto loaded = kept_or_loaded(/*is_test=*/false);
  const int64_t rows = set_.train_rows;
  const int64_t val = val_rows();
  auto split = split_in_order(shuffled_rows(rows, settings_.seed),
                              {.train = rows - val, .val = val, .test = 0});
  standardization_ = taken_;
  if (settings_.standardize && !standardization_) {
    standardization_ =
        Standardization::of(loaded->entries().front().second.tensor(), learned_rows(split.train));
  }
  const auto all = standardized(loaded);
  sets_.train = std::make_shared<Subset>(all, std::move(split.train));
  if (val > 0) sets_.val = std::make_shared<Subset>(all, std::move(split.val));
}

std::shared_ptr<const Dataset> ImageSetDataModule::standardized(
    std::shared_ptr<const TensorDataset> set) const {
  const auto& by = standardization_ ? standardization_ : taken_;
  if (!by) return set;
  return std::make_shared<TensorDataset>(by->apply(set->entries()[0].second.tensor(), "images"),
                                         set->entries()[1].second.tensor());
}

StateDict ImageSetDataModule::fitted_state() {
  const auto& s = settings_;
  StateDict state;
  state.values[set_.key] =
      Value::Object{{"mean", s.normalize ? s.mean : 0.0}, {"std", s.normalize ? s.std : 1.0}};
  const auto& by = standardization_ ? standardization_ : taken_;
  if (by) by->save(state);
  save_transforms(state);
  return state;
}

/// Images that aren't standardised stay where they are.
void ImageSetDataModule::learn_anew() {
  taken_.reset();
  standardization_.reset();
  if (settings_.standardize) sets_ = {};
}

void ImageSetDataModule::load_fitted_state(const StateDict& state) {
  note_taken_over();
  if (!state.values.contains(set_.key)) return;
  const auto text = [](const Value& pixels) {
    const double mean = pixels.at("mean").as_double();
    const double std = pixels.at("std").as_double();
    if (mean == 0.0 && std == 1.0) return std::string("normalize = false");
    return fmt::format("normalize = true, mean = {} and std = {}", mean, std);
  };
  const auto trained = text(state.values.at(set_.key));
  const auto here = text(fitted_state().values.at(set_.key));
  if (trained != here) {
    throw ConfigError::conflict(
        fmt::format("the model was trained with {}, but here it is {}", trained, here),
        "set the same values, so that pixels have the same meaning");
  }
  auto taken = Standardization::load(state);
  require_standardized(taken, settings_.standardize);
  load_transforms(state);
  if (taken != (standardization_ ? standardization_ : taken_)) {  // the sets are those of another
    sets_ = {};
    standardization_.reset();
  }
  taken_ = std::move(taken);
}

std::vector<int64_t> ImageSetDataModule::dims() const {
  if (!settings_.flatten) return set_.shape;
  int64_t pixels = 1;
  for (const int64_t size : set_.shape) pixels *= size;
  return {pixels};
}

}  // namespace levin
