#include <levin/framework/compression/qsgd.h>

#include <limits>

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/compression/packing.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

constexpr int64_t kMostLevels = 127;

/// The bits of a number from -levels to levels.
int64_t bits_for(int64_t levels) { return levels == 1 ? 2 : levels <= 7 ? 4 : 8; }

}  // namespace

Fields describe(QsgdOptions& o) {
  return fields_of<QsgdOptions>(
      {{"levels", &o.levels, "levels above 0: 1 (2 bits a value), up to 7 (4) or up to 127 (8)"},
       {"bucket_size", &o.bucket_size, "consecutive values that share a norm"},
       {"norm", &o.norm, "what values are divided by: max or l2"}});
}

QsgdCompression::QsgdCompression(const GradientLayout& layout, QsgdOptions options)
    : GatheredCompression(layout, /*error_feedback=*/false),
      options_(std::move(options)),
      bits_(bits_for(options_.levels)) {
  if (options_.levels < 1 || options_.levels > kMostLevels) {
    throw ConfigError::invalid_value("levels", fmt::to_string(options_.levels),
                                     "must be from 1 to 127");
  }
  if (options_.bucket_size < 1) {
    throw ConfigError::invalid_value("bucket_size", fmt::to_string(options_.bucket_size),
                                     "must be at least 1");
  }
  if (options_.norm != "max" && options_.norm != "l2") {
    throw ConfigError::unknown_name("norm", options_.norm, {"max", "l2"});
  }
  buckets_ = (layout.size() + options_.bucket_size - 1) / options_.bucket_size;
  generator_ = at::globalContext().defaultGenerator(layout.device).clone();
}

torch::Tensor QsgdCompression::pack(const torch::Tensor& values) {
  const auto rank = static_cast<uint64_t>(layout().rank);
  generator_.set_current_seed(
      KeyedGenerator(layout().seed, rank, static_cast<uint64_t>(steps_++))());
  const int64_t padding = buckets_ * options_.bucket_size - values.numel();
  const auto buckets =
      at::constant_pad_nd(values, {0, padding}).view({buckets_, options_.bucket_size});
  const auto norms = options_.norm == "max"
                         ? buckets.abs().amax(1, /*keepdim=*/true)
                         : at::linalg_vector_norm(buckets, 2, at::IntArrayRef{1}, /*keepdim=*/true);
  const auto levels = static_cast<double>(options_.levels);
  // A bucket of zeros has the norm 0.
  auto scaled = buckets / norms.clamp_min(std::numeric_limits<float>::min()) * levels;
  scaled.add_(at::rand(scaled.sizes(), generator_, scaled.options())).floor_();
  const auto numbers = scaled.clamp_(-levels, levels).add_(levels).to(at::kByte);
  return join_bytes({norms, pack_bits(numbers.view({-1}), bits_)});
}

void QsgdCompression::add_unpacked(const torch::Tensor& bytes, torch::Tensor& sums) const {
  BytesReader reader(bytes);
  const auto norms = reader.next(layout().type, buckets_).view({buckets_, 1});
  const int64_t count = buckets_ * options_.bucket_size;
  const auto packed = reader.next(at::kByte, (count * bits_ + 7) / 8);
  const auto levels = static_cast<double>(options_.levels);
  auto values = unpack_bits(packed, bits_, count).view({buckets_, -1}).to(layout().type);
  values.sub_(levels).mul_(norms / levels);
  sums.add_(values.view({-1}).narrow(0, 0, sums.numel()));
}

StateDict QsgdCompression::state_dict() const {
  StateDict state;
  state.values["qsgd_steps"] = steps_;
  return state;
}

void QsgdCompression::load_state_dict(const StateDict& state) {
  steps_ = state.values.contains("qsgd_steps") ? state.values.at("qsgd_steps").as_int() : 0;
}

}  // namespace levin
