#include <levin/framework/formats/onnx_file.h>

#include <fmt/format.h>

#include <levin/framework/core/version.h>
#include <levin/framework/formats/protobuf.h>

// The numbers are those of the fields in onnx.proto.

namespace levin::onnx {
namespace {

constexpr int64_t kIrVersion = 8;
constexpr int64_t kOperators = 17;

std::string value_info(std::string_view name, Type type, const std::vector<int64_t>& shape) {
  std::string dimensions;
  for (const int64_t size : shape) {
    std::string dimension;
    if (size == kBatch) {
      protobuf::bytes(dimension, 2, "batch");
    } else {
      protobuf::varint(dimension, 1, size);
    }
    protobuf::bytes(dimensions, 1, dimension);
  }
  std::string tensor;
  protobuf::varint(tensor, 1, static_cast<int64_t>(type));
  protobuf::bytes(tensor, 2, dimensions);
  std::string kind;
  protobuf::bytes(kind, 1, tensor);
  std::string info;
  protobuf::bytes(info, 1, name);
  protobuf::bytes(info, 2, kind);
  return info;
}

std::string attribute_proto(const Attribute& attribute) {
  constexpr int64_t kFloat = 1, kInt = 2, kInts = 7;
  std::string out;
  protobuf::bytes(out, 1, attribute.name);
  if (const auto* number = std::get_if<float>(&attribute.value)) {
    protobuf::fixed32(out, 2, *number);
    protobuf::varint(out, 20, kFloat);
  } else if (const auto* whole = std::get_if<int64_t>(&attribute.value)) {
    protobuf::varint(out, 3, *whole);
    protobuf::varint(out, 20, kInt);
  } else {
    for (const int64_t each : std::get<std::vector<int64_t>>(attribute.value)) {
      protobuf::varint(out, 8, each);
    }
    protobuf::varint(out, 20, kInts);
  }
  return out;
}

}  // namespace

FileWriter::FileWriter(std::string_view name) : name_(name) {}

void FileWriter::input(std::string_view name, Type type, const std::vector<int64_t>& shape) {
  protobuf::bytes(inputs_, 11, value_info(name, type, shape));
}

void FileWriter::output(std::string_view name, Type type, const std::vector<int64_t>& shape) {
  protobuf::bytes(outputs_, 12, value_info(name, type, shape));
}

void FileWriter::constant(std::string_view name, Type type, const std::vector<int64_t>& shape,
                          std::span<const std::byte> elements) {
  std::string tensor;
  for (const int64_t size : shape) protobuf::varint(tensor, 1, size);
  protobuf::varint(tensor, 2, static_cast<int64_t>(type));
  protobuf::bytes(tensor, 8, name);
  protobuf::bytes(tensor, 9, {reinterpret_cast<const char*>(elements.data()), elements.size()});
  protobuf::bytes(constants_, 5, tensor);
}

void FileWriter::node(std::string_view op_type, const Names& inputs, const Names& outputs,
                      const std::vector<Attribute>& attributes) {
  std::string node;
  for (const auto& name : inputs) protobuf::bytes(node, 1, name);
  for (const auto& name : outputs) protobuf::bytes(node, 2, name);
  protobuf::bytes(node, 3, fmt::format("{}_{}", op_type, node_count_++));
  protobuf::bytes(node, 4, op_type);
  for (const auto& attribute : attributes) protobuf::bytes(node, 5, attribute_proto(attribute));
  protobuf::bytes(nodes_, 1, node);
}

void FileWriter::metadata(std::string_view key, std::string_view value) {
  std::string entry;
  protobuf::bytes(entry, 1, key);
  protobuf::bytes(entry, 2, value);
  protobuf::bytes(metadata_, 14, entry);
}

std::string FileWriter::finish() && {
  std::string graph = std::move(nodes_);
  protobuf::bytes(graph, 2, name_);
  graph += constants_ + inputs_ + outputs_;
  std::string operators;
  protobuf::bytes(operators, 1, "");  // the standard ones
  protobuf::varint(operators, 2, kOperators);
  std::string model;
  protobuf::varint(model, 1, kIrVersion);
  protobuf::bytes(model, 2, "levin");
  protobuf::bytes(model, 3, kVersion);
  protobuf::bytes(model, 7, graph);
  protobuf::bytes(model, 8, operators);
  return model + metadata_;
}

}  // namespace levin::onnx
