#include <levin/framework/strategies/server_layout.h>

#include <algorithm>
#include <bit>

#include <ATen/Functions.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>

namespace levin {
namespace {

constexpr size_t kPushHead = 2;  // full_rows, max_norm
constexpr size_t kPullHead = 1;  // norm
// A float64 number travels as four whole numbers of 16 bits, which float32 has exactly.
constexpr size_t kPieces = 4;
constexpr int kPieceBits = 16;

/// How many numbers of a message `numbers` float64 numbers take.
int64_t width_of_exact(size_t numbers) { return static_cast<int64_t>(kPieces * numbers); }

void put_exact(const torch::Tensor& message, int64_t begin, const std::vector<double>& numbers) {
  auto pieces = at::empty({width_of_exact(numbers.size())}, at::kDouble);
  auto* to = pieces.mutable_data_ptr<double>();
  for (const double number : numbers) {
    auto bits = std::bit_cast<uint64_t>(number);
    for (size_t piece = 0; piece < kPieces; ++piece, bits >>= kPieceBits) {
      *to++ = static_cast<double>(bits & ((uint64_t{1} << kPieceBits) - 1));
    }
  }
  message.narrow(0, begin, pieces.numel()).copy_(pieces);
}

std::vector<double> exact_in(const torch::Tensor& message, int64_t begin, size_t count) {
  const auto pieces = message.narrow(0, begin, width_of_exact(count)).to(at::kDouble);
  const auto* from = pieces.const_data_ptr<double>();
  std::vector<double> numbers;
  for (size_t i = 0; i < count; ++i, from += kPieces) {
    uint64_t bits = 0;
    for (size_t piece = kPieces; piece-- > 0;) {
      bits = bits << kPieceBits | static_cast<uint64_t>(from[piece]);
    }
    numbers.push_back(std::bit_cast<double>(bits));
  }
  return numbers;
}

/// The entries of a parameter whose gradients aren't known to be zero.
class GradientRows {
 public:
  explicit GradientRows(const torch::Tensor& parameter) {
    const auto& gradient = parameter.grad();
    if (!gradient.defined() || gradient.layout() != at::kSparse || gradient.sparse_dim() != 1)
      return;
    rows_ = gradient.coalesce().indices().select(0, 0).contiguous();
    row_entries_ = parameter.numel() / std::max<int64_t>(parameter.size(0), 1);
  }
  bool is_sparse() const { return rows_.defined(); }

  /// Calls work(begin, end) for the stretches among entries [begin, end), in their order, until it
  /// returns false, which is then the result.
  template <class Work>
  bool for_each(int64_t begin, int64_t end, const Work& work) const {
    if (!is_sparse()) return work(begin, end);
    const auto* rows = rows_.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < rows_.numel(); ++i) {
      const int64_t from = std::max(begin, rows[i] * row_entries_);
      const int64_t to = std::min(end, (rows[i] + 1) * row_entries_);
      if (from < to && !work(from, to)) return false;
    }
    return true;
  }

 private:
  torch::Tensor rows_;  // of a sparse gradient, ascending
  int64_t row_entries_ = 0;
};

ServerType server_type(at::ScalarType type) {
  return type == at::kDouble ? ServerType::float64 : ServerType::float32;
}

}  // namespace

ServerLayout::ServerLayout(const FlatParameters& flat, int64_t servers, size_t groups,
                           bool tells_used)
    : flat_(flat),
      servers_(servers),
      rates_(2 * groups),
      used_(tells_used ? flat.parameters().size() : 0) {
  for (const auto& buffer : flat.buffers()) {
    if (buffer.flat.scalar_type() == at::kDouble) type_ = at::kDouble;
    begins_.push_back(values_);
    values_ += buffer.chunk;
  }
  begin_of_pull_ = values_ + width_of_exact(kPushHead + StepFlags::kNumbers + rates_ + used_);
  width_ = begin_of_pull_ + width_of_exact(kPullHead + StepFlags::kNumbers);
}

torch::Tensor ServerLayout::make_messages() const { return at::zeros({servers_, width_}, type_); }

torch::Tensor ServerLayout::tensor_of(ServerSpan numbers) const {
  void* data = nullptr;
  if (type_ == at::kDouble) {
    data = numbers.as<double>().data();
  } else {
    data = numbers.as<float>().data();
  }
  return at::from_blob(data, {static_cast<int64_t>(numbers.size())}, type_);
}

ServerSpan ServerLayout::numbers_of(const torch::Tensor& tensor) const {
  return {server_type(type_), static_cast<std::byte*>(tensor.mutable_data_ptr()),
          static_cast<size_t>(tensor.numel())};
}

void ServerLayout::put_gradients(const torch::Tensor& messages) const {
  for (size_t i = 0; i < flat_.parameters().size(); ++i) {
    const auto& gradient = flat_.parameters()[i].grad();
    torch::Tensor whole;
    if (gradient.defined()) {
      whole = (gradient.layout() == at::kStrided ? gradient : gradient.to_dense()).reshape({-1});
    }
    const int64_t begin = begin_of(flat_.place(i).buffer);
    for (int64_t server = 0; server < servers_; ++server) {
      const auto piece = flat_.piece(i, server);
      if (piece.count == 0) continue;
      const auto to = messages.select(0, server).narrow(0, begin + piece.in_chunk, piece.count);
      if (whole.defined()) {
        to.copy_(whole.narrow(0, piece.in_parameter, piece.count));
      } else {
        to.zero_();
      }
    }
  }
}

std::vector<int64_t> ServerLayout::sparse_numbers() const {
  std::vector<GradientRows> rows;
  bool is_sparse = false;
  for (const auto& parameter : flat_.parameters()) {
    is_sparse = rows.emplace_back(parameter).is_sparse() || is_sparse;
  }
  if (!is_sparse) return {};
  const auto bytes = static_cast<int64_t>(c10::elementSize(type_));
  const int64_t most = servers_ * width_ * bytes / (bytes + static_cast<int64_t>(sizeof(int64_t)));
  std::vector<int64_t> numbers;
  const auto add = [&](int64_t begin, int64_t end) {
    if (static_cast<int64_t>(numbers.size()) + end - begin > most) return false;
    for (; begin < end; ++begin) numbers.push_back(begin);
    return true;
  };
  for (int64_t server = 0; server < servers_; ++server) {
    for (size_t b = 0; b < begins_.size(); ++b) {
      for (const size_t i : flat_.buffers()[b].parameters) {
        const auto piece = flat_.piece(i, server);
        const int64_t first = server * width_ + begins_[b] + piece.in_chunk - piece.in_parameter;
        const bool fits = rows[i].for_each(
            piece.in_parameter, piece.in_parameter + piece.count,
            [&](int64_t begin, int64_t end) { return add(first + begin, first + end); });
        if (!fits) return {};
      }
    }
    if (!add(server * width_ + values_, server * width_ + begin_of_pull_)) return {};
  }
  return numbers;
}

void ServerLayout::take_weights(const torch::Tensor& messages) const {
  for (size_t i = 0; i < flat_.buffers().size(); ++i) {
    const auto& buffer = flat_.buffers()[i];
    const auto chunks = messages.narrow(1, begins_[i], buffer.chunk);
    buffer.flat.narrow(0, 0, servers_ * buffer.chunk).view({servers_, buffer.chunk}).copy_(chunks);
  }
}

void ServerLayout::put(const torch::Tensor& message, const ServerPush& push) const {
  std::vector<double> numbers{push.full_rows, push.max_norm};
  numbers.insert(numbers.end(), push.flags.begin(), push.flags.end());
  numbers.insert(numbers.end(), push.rates.begin(), push.rates.end());
  numbers.insert(numbers.end(), push.used.begin(), push.used.end());
  put_exact(message, values_, numbers);
}

void ServerLayout::put(const torch::Tensor& message, const ServerPull& pull) const {
  std::vector<double> numbers{pull.norm};
  numbers.insert(numbers.end(), pull.flags.begin(), pull.flags.end());
  put_exact(message, begin_of_pull_, numbers);
}

ServerPush ServerLayout::push_in(const torch::Tensor& message) const {
  const auto numbers = exact_in(message, values_, kPushHead + StepFlags::kNumbers + rates_ + used_);
  ServerPush push{.full_rows = numbers[0], .max_norm = numbers[1]};
  auto next = numbers.begin() + kPushHead;
  std::copy_n(next, StepFlags::kNumbers, push.flags.begin());
  next += StepFlags::kNumbers;
  push.rates.assign(next, next + static_cast<std::ptrdiff_t>(rates_));
  next += static_cast<std::ptrdiff_t>(rates_);
  push.used.assign(next, next + static_cast<std::ptrdiff_t>(used_));
  return push;
}

ServerPull ServerLayout::pull_in(const torch::Tensor& message) const {
  const auto numbers = exact_in(message, begin_of_pull_, kPullHead + StepFlags::kNumbers);
  ServerPull pull{.norm = numbers[0]};
  std::copy_n(numbers.begin() + kPullHead, StepFlags::kNumbers, pull.flags.begin());
  return pull;
}

}  // namespace levin
