#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <levin/datamodules/standardization.h>
#include <levin/datamodules/tables/fitted_table.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/tensor/state_dict.h>
#include <levin/framework/tensor/tensor.h>
#include <levin/serving/protocol/inference.h>
#include <levin/serving/protocol/model_metadata.h>

namespace levin {

/// Makes of the rows of requests what the module of a checkpoint takes, as its data module did with
/// the rows it was trained on:
///
/// - Numbers are converted to the type of the module's input, and standardised if the training rows
///   were. Integers don't become other integers that can't hold them.
/// - Pixels of MNIST, FashionMNIST and CIFAR are normalised if they were in training. FP32 pixels
///   are from 0 to 1; UINT8 ones are from 0 to 255, and are scaled.
/// - The cells of a table are texts, numbers included: BYTES [rows, columns]. Numbers [rows,
///   columns] are taken as well.
///
/// The shape of a row may also be [elements] in one piece, or lack sizes of 1.
class RowPreparation {
 public:
  /// `name` is what errors call the checkpoint. Throws CheckpointError if it doesn't say what the
  /// input of its module is, or if its data had transforms that aren't known.
  RowPreparation(const StateDict& checkpoint, std::string_view name);

  /// The only input, called "input", and how it is entered.
  void describe(ModelMetadata& metadata) const;
  /// Throws Refusal (400), which says what the model takes, unless the inputs fit.
  void check(const InferenceRequest& request) const;

  /// Returns the batch of these requests, whose inputs fit, [rows, ...] of all requests. Its
  /// tensors are overwritten by the next call. Throws Refusal (400) for cells that can't be used.
  Batch batch(const std::vector<const InferenceRequest*>& requests);
  /// The same of the rows of one request from `begin` on.
  Batch part(const InferenceRequest& request, int64_t begin, int64_t rows);
  /// A batch of one row of zeros.
  Batch example() const;

 private:
  struct Pixels {
    double mean = 0.0;
    double std = 1.0;
  };
  /// Rows of an input.
  struct Part {
    const WireTensor* input;
    int64_t begin;
    int64_t rows;
  };

  Batch made(const std::vector<Part>& parts);
  void read_numbers(const Part& part, const torch::Tensor& all, int64_t begin) const;
  torch::Tensor read_cells(const Part& part, std::vector<int64_t>& groups) const;
  torch::Tensor buffer(int64_t rows);
  void transform(Batch& batch) const;

  std::vector<int64_t> shape_;  // of a row
  WireType type_ = WireType::fp32;
  std::optional<Standardization> standardization_;
  std::optional<tables::FittedTable> table_;
  std::vector<std::string> columns_;  // of the table: features and group
  std::optional<Pixels> pixels_;
  BatchTransform transform_;
  torch::Tensor buffer_;
};

}  // namespace levin
