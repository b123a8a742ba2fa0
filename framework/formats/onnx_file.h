#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// ONNX files: a graph of operators with its constants, which onnxruntime and others run. The
/// functions know nothing of LibTorch.
///
/// Source: onnx.proto of ONNX 1.12, and its operators of version 17, which every onnxruntime since
/// 1.12 knows.
namespace levin::onnx {

/// Types of elements, by their numbers in the format.
enum class Type : int32_t { float32 = 1, int64 = 7, float64 = 11 };

/// A setting of an operator, a whole number, a number or a list of whole numbers.
struct Attribute {
  std::string name;
  std::variant<int64_t, float, std::vector<int64_t>> value;
};

/// Builds a file. Nodes are appended in the order in which they are computed:
///
///     onnx::FileWriter writer("LogisticRegression");
///     writer.input("input", onnx::Type::float32, {onnx::kBatch, 4});
///     writer.constant("weight", onnx::Type::float32, {3, 4}, bytes);
///     writer.node("Gemm", {"input", "weight"}, {"logits"}, {{"transB", 1}});
///     writer.output("logits", onnx::Type::float32, {onnx::kBatch, 3});
///     files::write_atomically("model.onnx", std::move(writer).finish());
class FileWriter {
 public:
  using Names = std::vector<std::string>;

  /// `name` is that of the graph.
  explicit FileWriter(std::string_view name);
  /// What the caller gives. A size of kBatch stands for any number of rows.
  void input(std::string_view name, Type type, const std::vector<int64_t>& shape);
  /// What the caller gets: the result of a node.
  void output(std::string_view name, Type type, const std::vector<int64_t>& shape);
  /// A tensor of these elements, row-major and little-endian.
  void constant(std::string_view name, Type type, const std::vector<int64_t>& shape,
                std::span<const std::byte> elements);
  /// An operator with the names of what it reads and of what it computes.
  void node(std::string_view op_type, const Names& inputs, const Names& outputs,
            const std::vector<Attribute>& attributes = {});
  /// A text about the model, which its readers show.
  void metadata(std::string_view key, std::string_view value);
  /// The bytes of the file.
  std::string finish() &&;

 private:
  std::string name_;
  std::string nodes_;
  std::string constants_;
  std::string inputs_;
  std::string outputs_;
  std::string metadata_;
  int64_t node_count_ = 0;
};

/// The size of the dimension that has a row for each row of the input.
inline constexpr int64_t kBatch = -1;

}  // namespace levin::onnx
