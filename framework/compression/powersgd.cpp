#include <levin/framework/compression/powersgd.h>

#include <algorithm>
#include <utility>

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

constexpr std::string_view kQPrefix = "q.";

/// An orthonormal basis of the columns' space, [n, r].
torch::Tensor orthogonal(const torch::Tensor& columns) {
  return std::get<0>(at::linalg_qr(columns, "reduced"));
}

}  // namespace

Fields describe(PowerSgdOptions& o) {
  return fields_of<PowerSgdOptions>(
      {{"rank", &o.rank, "the rank of the approximation of each gradient"},
       {"start_powersgd_iter", &o.start_powersgd_iter, "steps before which nothing is compressed"},
       {"min_compression_rate", &o.min_compression_rate,
        "compress gradients that become smaller by this factor"},
       {"error_feedback", &o.error_feedback, "add what wasn't sent to the next gradients"},
       {"warm_start", &o.warm_start, "begin with the approximation of the last step"}});
}

PowerSgdCompression::PowerSgdCompression(const GradientLayout& layout, PowerSgdOptions options)
    : layout_(layout), options_(options), memory_(layout, options.error_feedback) {
  if (options_.rank < 1) {
    throw ConfigError::invalid_value("rank", fmt::to_string(options_.rank), "must be at least 1");
  }
  if (options_.start_powersgd_iter < 0) {
    throw ConfigError::invalid_value(
        "start_powersgd_iter", fmt::to_string(options_.start_powersgd_iter), "must be at least 0");
  }
  if (!(options_.min_compression_rate > 0.0)) {
    throw ConfigError::invalid_value("min_compression_rate",
                                     fmt::format("{}", options_.min_compression_rate),
                                     "must be above 0");
  }
  int64_t begin = 0;
  for (size_t i = 0; i < layout_.shapes.size(); ++i) {
    const auto& shape = layout_.shapes[i];
    const int64_t size = layout_.size(i);
    const int64_t rows = shape.size() >= 2 ? shape[0] : 0;
    const int64_t columns = rows > 0 ? size / rows : 0;
    const int64_t rank = std::min({rows, columns, options_.rank});
    const auto sent = static_cast<double>((rows + columns) * rank);
    if (rank > 0 && sent * options_.min_compression_rate < static_cast<double>(size)) {
      matrices_.push_back({i, begin, rows, columns, rank, {}});
    } else {
      plain_.emplace_back(begin, size);
      plain_size_ += size;
    }
    begin += size;
  }
  generator_ = at::globalContext().defaultGenerator(layout_.device).clone();
}

torch::Tensor PowerSgdCompression::part_of(const torch::Tensor& flat, const Matrix& matrix) const {
  return flat.narrow(0, matrix.begin, matrix.rows * matrix.columns)
      .view({matrix.rows, matrix.columns});
}

torch::Tensor PowerSgdCompression::take_plain(const torch::Tensor& flat) const {
  auto plain = at::empty({plain_size_}, flat.options());
  int64_t place = 0;
  for (const auto& [begin, size] : plain_) {
    plain.narrow(0, place, size).copy_(flat.narrow(0, begin, size));
    place += size;
  }
  return plain;
}

void PowerSgdCompression::put_plain(torch::Tensor& flat, const torch::Tensor& plain) const {
  int64_t place = 0;
  for (const auto& [begin, size] : plain_) {
    flat.narrow(0, begin, size).copy_(plain.narrow(0, place, size));
    place += size;
  }
}

/// Makes sure that there is a Q, the same on all ranks, with orthogonal columns.
void PowerSgdCompression::choose_q(Matrix& matrix) {
  if (!matrix.q.defined() || !options_.warm_start) {
    generator_.set_current_seed(
        KeyedGenerator(layout_.seed, matrix.number, static_cast<uint64_t>(steps_))());
    matrix.q = at::randn({matrix.columns, matrix.rank}, generator_,
                         at::TensorOptions(layout_.device).dtype(layout_.type));
  }
  matrix.q = orthogonal(matrix.q);
}

void PowerSgdCompression::start(const torch::Tensor& own, GradientExchange& exchange) {
  compresses_ = steps_ >= options_.start_powersgd_iter && !matrices_.empty();
  values_ = memory_.add_to(own);
  if (compresses_) {
    std::vector<torch::Tensor> sent{take_plain(values_)};
    for (auto& matrix : matrices_) {
      choose_q(matrix);
      sent.push_back(part_of(values_, matrix).mm(matrix.q).view({-1}));
    }
    pending_ = exchange.all_reduce(at::cat(sent));
  } else {
    pending_ = exchange.all_reduce(values_.clone());
    memory_.keep(torch::Tensor());
  }
  ++steps_;
}

void PowerSgdCompression::proceed(GradientExchange& exchange) {
  sums_ = std::exchange(pending_, nullptr)();
  bases_.clear();
  if (!compresses_) return;
  world_size_ = exchange.world_size();
  std::vector<torch::Tensor> sent;
  int64_t place = plain_size_;
  for (const auto& matrix : matrices_) {
    const int64_t size = matrix.rows * matrix.rank;
    bases_.push_back(orthogonal(sums_.narrow(0, place, size).view({matrix.rows, matrix.rank})));
    sent.push_back(part_of(values_, matrix).t().mm(bases_.back()).view({-1}));
    place += size;
  }
  pending_ = exchange.all_reduce(at::cat(sent));
}

torch::Tensor PowerSgdCompression::finish() {
  const auto sums = std::exchange(sums_, torch::Tensor());
  const auto values = std::exchange(values_, torch::Tensor());
  if (!compresses_) return sums;
  const auto all_q = std::exchange(pending_, nullptr)();
  auto result = at::empty_like(values);
  auto rest = memory_.enabled() ? at::zeros_like(values) : torch::Tensor();
  put_plain(result, sums.narrow(0, 0, plain_size_));
  int64_t place = 0;
  for (size_t i = 0; i < matrices_.size(); ++i) {
    auto& matrix = matrices_[i];
    const int64_t size = matrix.columns * matrix.rank;
    matrix.q = all_q.narrow(0, place, size).view({matrix.columns, matrix.rank}).clone();
    place += size;
    auto part = part_of(result, matrix);
    at::mm_out(part, bases_[i], matrix.q.t());
    if (!rest.defined()) continue;
    const double share = 1.0 / static_cast<double>(world_size_);
    part_of(rest, matrix).copy_(part_of(values, matrix).sub(part, share));
  }
  memory_.keep(std::move(rest));
  return result;
}

StateDict PowerSgdCompression::state_dict() const {
  StateDict state = memory_.state_dict();
  for (const auto& matrix : matrices_) {
    if (matrix.q.defined()) {
      state.tensors[std::string(kQPrefix) + layout_.names[matrix.number]] = matrix.q;
    }
  }
  state.values["powersgd_steps"] = steps_;
  return state;
}

void PowerSgdCompression::load_state_dict(const StateDict& state) {
  memory_.load_state_dict(state);
  for (auto& matrix : matrices_) {
    matrix.q = tensor_for(layout_, matrix.number, state, kQPrefix, {matrix.columns, matrix.rank});
  }
  const char* const steps = "powersgd_steps";
  steps_ = state.values.contains(steps) ? state.values.at(steps).as_int() : 0;
}

}  // namespace levin
