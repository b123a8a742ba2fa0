#pragma once

#include <levin/framework/data/dataset.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace levin {

/// Makes batches of a data set that lives on a device, by work that can be recorded in a
/// DeviceGraph: the same work makes every batch of an epoch, because it takes the row numbers from
/// an order that lies on the device, too, and moves on in it by itself.
///
///     ResidentBatches batches(data->on(device), rows, fill_order, /*in_place=*/true);
///     graph->record([&] { batches.record(batch); train_on(batch); });
///     for (int64_t first = 0; first + rows <= batches.size(); first += rows) {
///       batches.prepare(first);
///       graph->replay();                       // `batch` has the rows `first`, `first` + 1 ...
///     }
///
/// The host uploads the order in pieces, ahead of the work that reads it, and waits for nothing.
class ResidentBatches {
 public:
  /// Writes the numbers, among the rows of the tensors, of the rows at positions `first`, `first` +
  /// 1 ... of the epoch.
  using FillOrder = std::function<void(int64_t first, std::span<int64_t> numbers)>;

  /// `data` is a data set on a device, `size` the number of rows of an epoch, and `rows` that of a
  /// batch. If `in_place`, long rows stay where they are, as in Dataset::select_batch; otherwise
  /// they are copied.
  ResidentBatches(std::shared_ptr<const TensorDataset> data, int64_t size, int64_t rows,
                  bool in_place, FillOrder fill_order);

  int64_t rows() const { return rows_; }
  int64_t size() const { return size_; }

  /// Begins another epoch, whose order is another one.
  void begin_epoch() { uploaded_ = 0; }
  /// Gets ready to make the batch that begins at position `first`. Uploads are enqueued on the
  /// device's current stream.
  void prepare(int64_t first);
  /// Makes `out` a batch of the tensors that `record` writes, whose values are undefined yet.
  void put_tensors(Batch& out) const;
  /// Enqueues the making of that batch into `out`. Its tensors are the same each time.
  void record(Batch& out);

 private:
  void upload(int64_t end);

  std::shared_ptr<const TensorDataset> data_;
  int64_t size_;
  int64_t rows_;
  FillOrder fill_order_;
  torch::Tensor order_;    // [size] int64, on the device like those below
  torch::Tensor cursor_;   // [1] int64: the position of the next batch
  torch::Tensor places_;   // [rows] int64: 0, 1 ...; only without kernels
  torch::Tensor numbers_;  // [rows] int64: the rows of the batch
  NamedRows made_;         // what the batch gets
  int64_t uploaded_ = 0;   // how much of the order is there
  int64_t next_ = -1;      // what the cursor will be once all that is enqueued is done
};

}  // namespace levin
