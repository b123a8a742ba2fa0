#include <levin/datamodules/transforms.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/joined_lists.h>

namespace levin {
namespace {

/// The name of the batch's input.
std::string input_name(const Batch& batch) {
  return batch.has("input") ? "input" : batch.entries().front().first;
}

/// The input, in memory of the batch's own, of at least so many dimensions.
torch::Tensor own_input(Batch& batch, const char* who, int64_t least_dimensions) {
  if (batch.input_rows().is_sparse()) {
    throw DataError::bad_value("the kind of the rows", "sparse", fmt::format("transform {}", who),
                               "it changes dense rows alone; leave it out");
  }
  auto input = batch.input();
  if (input.dim() < least_dimensions) {
    throw DataError::bad_value(
        "the shape of a batch's input", readers::shape_text(input.sizes()),
        fmt::format("transform {}", who),
        least_dimensions > 2 ? "it needs images [rows, ..., height, width]; put it before flatten, "
                               "and set flatten = false of the data module"
                             : "it needs [rows, features] or [rows, channels, ...]");
  }
  return input;
}

/// The numbers in the type of `input`, in a shape that is broadcast over all but its channels.
torch::Tensor along_channels(const std::vector<double>& numbers, const torch::Tensor& input) {
  std::vector<int64_t> shape(static_cast<size_t>(input.dim()), 1);
  shape[1] = static_cast<int64_t>(numbers.size());
  return at::tensor(numbers, at::kDouble).to(input.scalar_type()).view(shape);
}

std::vector<double> list_of(const torch::Tensor& numbers) {
  const auto* first = numbers.const_data_ptr<double>();
  return {first, first + numbers.numel()};
}

Value to_numbers(const std::vector<double>& numbers) {
  return Value::Array(numbers.begin(), numbers.end());
}

std::vector<double> from_numbers(const Value& numbers) {
  std::vector<double> result;
  for (const auto& number : numbers.as_array()) result.push_back(number.as_double());
  return result;
}

void require_pixels(const char* option, int64_t value) {
  if (value >= 0) return;
  throw ConfigError::invalid_value(option, std::to_string(value), "must be at least 0");
}

}  // namespace

const TransformList& shipped_transforms() {
  static const TransformList kList = [] {
    TransformList list("transform");
    list.add<Normalize>("normalize", "(x - mean) / std, by given numbers or the training rows'");
    list.add<Flatten>("flatten", "inputs as [rows, values]");
    list.add<Pad>("pad", "pixels around images");
    list.add<RandomCrop>("random_crop", "a part of each image at a random place");
    list.add<RandomHorizontalFlip>("random_horizontal_flip", "swaps left and right at random");
    list.add<OneHot>("one_hot", "classes as numbers 0 and 1");
    return list;
  }();
  return kList;
}

TransformList known_transforms() { return joined_lists(shipped_transforms(), added_transforms()); }

// --- Normalize -----------------------------------------------------------------------------------

Fields describe(NormalizeOptions& o) {
  return fields_of<NormalizeOptions>(
      {{"mean", &o.mean, "a number for each channel, or one; empty: of the training rows"},
       {"std", &o.std, "the same"}});
}

Normalize::Normalize(NormalizeOptions options)
    : is_learned_(options.mean.empty() && options.std.empty()),
      mean_(std::move(options.mean)),
      std_(std::move(options.std)) {
  if (mean_.size() != std_.size()) {
    throw ConfigError::conflict(
        fmt::format("mean has {} numbers and std {}", mean_.size(), std_.size()),
        "give one of each for each channel, or leave out both, to take those of the training rows");
  }
  for (const double one : std_) {
    if (std::isfinite(one) && one > 0.0) continue;
    throw ConfigError::invalid_value("std", fmt::format("{}", one), "must be above 0");
  }
}

void Normalize::apply(Batch& batch, const TransformContext& /*context*/) const {
  auto input = own_input(batch, "normalize", 2);
  const auto channels = static_cast<size_t>(input.size(1));
  if (mean_.size() != 1 && mean_.size() != channels) {
    throw DataError::bad_value("the number of channels of a batch's input",
                               std::to_string(channels), "transform normalize",
                               fmt::format("it has {} means; give one for each", mean_.size()));
  }
  if (!input.is_floating_point()) input = input.to(at::kFloat);
  batch.set(input_name(batch),
            input.sub_(along_channels(mean_, input)).div_(along_channels(std_, input)));
}

/// The mean and the squared distances of two sets of rows together. Source: Chan, Golub, LeVeque
/// 1983, doi:10.1080/00031305.1983.10483115.
void Normalize::learn(const Batch& batch) {
  Batch own = batch;
  const auto input = own_input(own, "normalize", 2).to(at::kDouble);
  const auto values = input.transpose(0, 1).flatten(1);  // [channels, values]
  const auto count = static_cast<double>(values.size(1));
  if (count == 0.0) return;
  const auto mean = values.mean(1);
  const auto squares = (values - mean.unsqueeze(1)).square_().sum(1);
  if (count_ == 0.0) {
    sum_ = mean;
    squares_ = squares;
  } else {
    const auto distance = mean - sum_;
    sum_ = sum_ + distance * (count / (count_ + count));
    squares_ = squares_ + squares + distance.square() * (count_ * count / (count_ + count));
  }
  count_ += count;
}

void Normalize::end_learning() {
  if (count_ == 0.0) {
    throw DataError::empty("the training rows of the transform normalize",
                           "it needs rows to find mean and std; give both in its settings");
  }
  mean_ = list_of(sum_.contiguous());
  std_ = list_of((squares_ / count_).sqrt_().contiguous());
  for (size_t i = 0; i < std_.size(); ++i) {
    const bool is_constant = !(std_[i] > 1e-12 * std::abs(mean_[i]));  // then only shifted
    if (is_constant) std_[i] = 1.0;
  }
}

Value Normalize::statistics() const {
  return Value::Object{{"mean", to_numbers(mean_)}, {"std", to_numbers(std_)}};
}

void Normalize::set_statistics(const Value& statistics) {
  auto mean = from_numbers(statistics.at("mean"));
  auto std = from_numbers(statistics.at("std"));
  if (!is_learned_ && (mean != mean_ || std != std_)) {
    throw ConfigError::conflict(
        fmt::format("the model was trained with the transform normalize by mean {} and std {}, but "
                    "here it is by mean {} and std {}",
                    to_numbers(mean).to_json(), to_numbers(std).to_json(),
                    to_numbers(mean_).to_json(), to_numbers(std_).to_json()),
        "set the same values, so that inputs have the same meaning");
  }
  mean_ = std::move(mean);
  std_ = std::move(std);
}

// --- steps without statistics --------------------------------------------------------------------

void Flatten::apply(Batch& batch, const TransformContext& /*context*/) const {
  auto input = own_input(batch, "flatten", 1);
  batch.set(input_name(batch), input.dim() == 1 ? input.unsqueeze(1) : input.flatten(1));
}

Fields describe(PadOptions& o) {
  return fields_of<PadOptions>({{"padding", &o.padding, "pixels on each side"},
                                {"value", &o.value, "the value of these pixels"}});
}

Pad::Pad(PadOptions options) : options_(options) { require_pixels("padding", options_.padding); }

void Pad::apply(Batch& batch, const TransformContext& /*context*/) const {
  const auto input = own_input(batch, "pad", 3);
  const int64_t by = options_.padding;
  batch.set(input_name(batch), at::constant_pad_nd(input, {by, by, by, by}, options_.value));
}

Fields describe(RandomCropOptions& o) {
  return fields_of<RandomCropOptions>({{"size", &o.size, "height and width; 0: the image's"},
                                       {"padding", &o.padding, "pixels of 0 on each side"}});
}

RandomCrop::RandomCrop(RandomCropOptions options) : options_(options) {
  require_pixels("size", options_.size);
  require_pixels("padding", options_.padding);
}

namespace {

/// Copies a part of an image whose top left corner is at (`top`, `left`) and may lie outside.
void crop_image(const torch::Tensor& from, int64_t top, int64_t left, const torch::Tensor& to) {
  const int64_t height = from.size(-2);
  const int64_t width = from.size(-1);
  const int64_t top_gap = std::max<int64_t>(-top, 0);
  const int64_t left_gap = std::max<int64_t>(-left, 0);
  const int64_t rows = std::min(height, top + to.size(-2)) - (top + top_gap);
  const int64_t columns = std::min(width, left + to.size(-1)) - (left + left_gap);
  if (rows <= 0 || columns <= 0) return;
  const auto part = from.narrow(-2, top + top_gap, rows).narrow(-1, left + left_gap, columns);
  to.narrow(-2, top_gap, rows).narrow(-1, left_gap, columns).copy_(part);
}

}  // namespace

void RandomCrop::apply(Batch& batch, const TransformContext& context) const {
  const auto input = own_input(batch, "random_crop", 3);
  const int64_t padding = options_.padding;
  const int64_t height = options_.size > 0 ? options_.size : input.size(-2);
  const int64_t width = options_.size > 0 ? options_.size : input.size(-1);
  const int64_t places_down = input.size(-2) + 2 * padding - height + 1;
  const int64_t places_across = input.size(-1) + 2 * padding - width + 1;
  if (places_down < 1 || places_across < 1) {
    throw DataError::bad_value(
        "the shape of a batch's input", readers::shape_text(input.sizes()), "transform random_crop",
        fmt::format("images with their padding must be at least as large as size = {}", height));
  }
  auto shape = input.sizes().vec();
  shape[shape.size() - 2] = height;
  shape[shape.size() - 1] = width;
  auto result = at::zeros(shape, input.options());
  for (int64_t i = 0; i < input.size(0); ++i) {
    int64_t down = (places_down - 1) / 2;
    int64_t across = (places_across - 1) / 2;
    if (context.augment) {
      auto generator = context.generator(i);
      down = static_cast<int64_t>(generator.below(static_cast<uint64_t>(places_down)));
      across = static_cast<int64_t>(generator.below(static_cast<uint64_t>(places_across)));
    }
    crop_image(input[i], down - padding, across - padding, result[i]);
  }
  batch.set(input_name(batch), result);
}

Fields describe(RandomHorizontalFlipOptions& o) {
  return fields_of<RandomHorizontalFlipOptions>({{"p", &o.p, "share of the images"}});
}

RandomHorizontalFlip::RandomHorizontalFlip(RandomHorizontalFlipOptions options)
    : options_(options) {
  if (options_.p >= 0.0 && options_.p <= 1.0) return;
  throw ConfigError::invalid_value("p", fmt::format("{}", options_.p), "must be from 0 to 1");
}

void RandomHorizontalFlip::apply(Batch& batch, const TransformContext& context) const {
  const auto input = own_input(batch, "random_horizontal_flip", 3);
  if (!context.augment) return;
  for (int64_t i = 0; i < input.size(0); ++i) {
    if (context.generator(i).uniform() >= options_.p) continue;
    const auto image = input[i];
    image.copy_(image.flip({-1}));
  }
}

Fields describe(OneHotOptions& o) {
  return fields_of<OneHotOptions>({{"num_classes", &o.num_classes, "the number of classes"},
                                   {"tensor", &o.tensor, "the tensor that is changed"}});
}

OneHot::OneHot(OneHotOptions options) : options_(std::move(options)) {
  if (options_.num_classes >= 1) return;
  throw ConfigError::invalid_value("num_classes", std::to_string(options_.num_classes),
                                   "give the number of classes, at least 1");
}

void OneHot::apply(Batch& batch, const TransformContext& /*context*/) const {
  if (!batch.has(options_.tensor)) return;  // rows to predict for have no targets
  const auto classes = batch[options_.tensor].to(at::kLong);
  const int64_t count = options_.num_classes;
  if (classes.numel() > 0) {
    const auto least = classes.min().item<int64_t>();
    const auto most = classes.max().item<int64_t>();
    if (least < 0 || most >= count) {
      throw DataError::bad_value(
          "a class", std::to_string(least < 0 ? least : most),
          fmt::format("transform one_hot, tensor {}", options_.tensor),
          fmt::format("classes must be from 0 to {}; raise num_classes", count - 1));
    }
  }
  auto shape = classes.sizes().vec();
  shape.push_back(count);
  auto result = at::zeros(shape, at::kFloat);
  batch.set(options_.tensor, result.scatter_(-1, classes.unsqueeze(-1), 1.0));
}

}  // namespace levin
