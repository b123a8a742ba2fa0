#include <levin/framework/data/resident_batches.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <levin/framework/kernels/cuda/kernels.h>
#include <levin/framework/tensor/device_graph.h>

#include <algorithm>
#include <utility>

namespace levin {
namespace {

// Batches whose numbers are uploaded at a time: few copies, but no long wait for the first one.
constexpr int64_t kBatchesAPiece = 64;

/// The bytes of a row if `take_rows` can copy it as one word, or else 0.
int64_t word_bytes(const Rows& rows) {
  const auto& source = rows.source();
  if (rows.scale() || !source.is_contiguous() || source.numel() != source.size(0)) return 0;
  const auto bytes = static_cast<int64_t>(source.itemsize());
  return bytes == 1 || bytes == 4 || bytes == 8 ? bytes : 0;
}

bool stays_in_place(const Rows& rows) {
  constexpr int64_t kLeastValues = 64;  // of a row; shorter ones are copied faster than looked up
  const auto view = rows.device_view();
  return view && view->row_size >= kLeastValues;
}

bool has_kernels(at::Device device) { return device.is_cuda() && kernels::cuda::are_built(); }

}  // namespace

ResidentBatches::ResidentBatches(std::shared_ptr<const TensorDataset> data, int64_t size,
                                 int64_t rows, bool in_place, FillOrder fill_order)
    : data_(std::move(data)), size_(size), rows_(rows), fill_order_(std::move(fill_order)) {
  const at::Device device = data_->entries().front().second.source().device();
  const auto options = at::TensorOptions(at::kLong).device(device);
  order_ = at::empty({size_}, options);
  cursor_ = at::zeros({1}, options);
  numbers_ = at::empty({rows_}, options);
  if (!has_kernels(device)) places_ = at::arange(rows_, options);
  for (const auto& [name, all] : data_->entries()) {
    Rows own;
    if (in_place && stays_in_place(all)) {
      all.select(numbers_, own);
    } else {
      std::vector<int64_t> shape{rows_};
      const auto row_shape = all.row_shape();
      shape.insert(shape.end(), row_shape.begin(), row_shape.end());
      own = Rows(at::empty(shape, all.source().options().dtype(all.dtype())));
    }
    made_.emplace_back(name, std::move(own));
  }
}

void ResidentBatches::prepare(int64_t first) {
  if (first + rows_ > uploaded_) upload(std::min(first + kBatchesAPiece * rows_, size_));
  if (first != next_) cursor_.fill_(first);
  next_ = first + rows_;
}

void ResidentBatches::upload(int64_t end) {
  const int64_t count = end - uploaded_;
  const bool is_cuda = order_.is_cuda();
  // Pinned memory is used again only once its copy is done; LibTorch sees to that.
  const auto piece = at::empty({count}, at::TensorOptions(at::kLong).pinned_memory(is_cuda));
  fill_order_(uploaded_, {piece.mutable_data_ptr<int64_t>(), static_cast<size_t>(count)});
  order_.narrow(0, uploaded_, count).copy_(piece, /*non_blocking=*/is_cuda);
  uploaded_ = end;
}

void ResidentBatches::record(Batch& out) {
  const c10::DeviceGuard on_device(order_.device());
  const auto& all = data_->entries();
  std::vector<kernels::cuda::Words> words;
  const bool by_kernels = has_kernels(order_.device());
  const auto is_word = [&](size_t i) {
    return by_kernels && made_[i].second.is_dense() && word_bytes(all[i].second) > 0;
  };
  for (size_t i = 0; i < all.size() && words.size() < kernels::cuda::kMostWords; ++i) {
    if (!is_word(i)) continue;
    words.push_back({all[i].second.source().const_data_ptr(),
                     made_[i].second.source().mutable_data_ptr(), word_bytes(all[i].second)});
  }
  if (by_kernels) {
    kernels::cuda::take_rows({.order = order_.const_data_ptr<int64_t>(),
                              .cursor = cursor_.mutable_data_ptr<int64_t>(),
                              .count = rows_,
                              .numbers = numbers_.mutable_data_ptr<int64_t>(),
                              .words = words},
                             current_stream(order_.device()));
  } else {
    at::index_select_out(numbers_, order_, 0, places_.add(cursor_));
    cursor_.add_(rows_);
  }
  size_t words_left = words.size();
  for (size_t i = 0; i < all.size(); ++i) {
    if (!made_[i].second.is_dense()) continue;
    if (words_left > 0 && is_word(i)) {
      --words_left;
      continue;
    }
    Rows chosen;
    all[i].second.select(numbers_, chosen);
    chosen.copy_to(made_[i].second.source());
  }
  put_tensors(out);
}

void ResidentBatches::put_tensors(Batch& out) const {
  out.entries() = made_;
  out.row_ids().clear();
}

}  // namespace levin
