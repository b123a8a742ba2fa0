#include <levin/framework/formats/onnx_file.h>

#include <gtest/gtest.h>

#include <array>
#include <string>

#include <levin/framework/core/value.h>
#include <levin/framework/core/version.h>
#include <levin/framework/formats/protobuf.h>

#include "framework/temporary_folder.h"

namespace levin::test::onnx_file_test {

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// tests/baselines/onnx_files.py
TEST(OnnxFile, HasTheBytesThatTheOnnxPackageWrites) {
  using onnx::Type;
  const std::array<float, 6> weight = {0.5F, -1.5F, 2.0F, 0.25F, -3.0F, 1.0F};
  const std::array<int64_t, 1> axes = {1};
  onnx::FileWriter writer("Small");
  writer.input("input", Type::float32, {onnx::kBatch, 2});
  writer.constant("weight", Type::float32, {3, 2}, std::as_bytes(std::span(weight)));
  writer.constant("axes", Type::int64, {1}, std::as_bytes(std::span(axes)));
  writer.node("Gemm", {"input", "weight"}, {"logits"}, {{"alpha", 0.5F}, {"transB", 1}});
  writer.node("Squeeze", {"logits", "axes"}, {"value"});
  writer.node("Pad", {"value"}, {"padded"}, {{"pads", std::vector<int64_t>{0, 300, -1}}});
  writer.output("padded", Type::float64, {onnx::kBatch, 3, 1});
  writer.metadata("class", "Small");

  std::string expected;
  protobuf::varint(expected, 1, 8);
  protobuf::bytes(expected, 2, "levin");
  protobuf::bytes(expected, 3, kVersion);
  const auto baseline = Value::from_json(
      read_file(std::filesystem::path(LEVIN_SOURCE_DIR) / "tests/baselines/onnx_files.json"));
  expected += from_hex(baseline.at("file").as_string());
  EXPECT_EQ(std::move(writer).finish(), expected);
}

}  // namespace levin::test::onnx_file_test
