#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/serving/protocol/wire_tensor.h>

namespace levin {

/// An input or output of a model.
struct TensorMetadata {
  std::string name{};
  WireType type = WireType::fp32;
  /// The sizes; -1 for the number of rows, and for any other that may vary.
  std::vector<int64_t> shape{};
};

/// How rows are entered by hand.
enum class InputKind : uint8_t {
  /// A list of numbers.
  numbers,
  /// Pixels, [channels, height, width] or [height, width] a row.
  image,
  /// The columns of a table, numbers and texts.
  table,
};

/// One version of a model, as the metadata of the Open Inference Protocol and the page for trying
/// it show it.
struct ModelMetadata {
  std::string name{};
  std::string version{};
  /// Always "levin_libtorch".
  std::string platform = "levin_libtorch";
  std::vector<TensorMetadata> inputs{};
  std::vector<TensorMetadata> outputs{};
  InputKind kind = InputKind::numbers;
  /// The names of the classes in the order of their numbers; empty if they have none.
  std::vector<std::string> class_names{};
  /// The names of a table's columns, in the order in which a row has them; for other models empty.
  std::vector<std::string> columns{};
  /// The bytes that the inputs of one row take: 602,112 for an image of 3 x 224 x 224 FP32 numbers.
  /// 0 if that varies.
  int64_t bytes_per_row = 0;
  /// The most rows that are predicted together, 0 if that isn't known; and the microseconds for
  /// which a request waits for others. A request of more rows is answered in parts.
  int64_t max_batch = 0;
  int64_t delay_us = 0;
};

}  // namespace levin
