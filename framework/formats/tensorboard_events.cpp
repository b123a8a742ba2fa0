#include <levin/framework/formats/tensorboard_events.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include <levin/framework/core/flat_settings.h>
#include <levin/framework/formats/protobuf.h>
#include <levin/framework/formats/tfrecord.h>

namespace levin::events {
namespace {

namespace pb = protobuf;

constexpr size_t kBuckets = 30;
constexpr int kString = 7;          // DataType.DT_STRING
constexpr int kGraphProducer = 22;  // the version that PyTorch's SummaryWriter gives its graphs

/// An Event with a Summary: wall_time = 1, step = 2, summary = 5.
std::string summary_record(std::string_view summary, int64_t step, double wall_time) {
  std::string event;
  pb::fixed64(event, 1, wall_time);
  pb::varint(event, 2, step);
  pb::bytes(event, 5, summary);
  std::string record;
  tfrecord::append(record, event);
  return record;
}

/// A Summary with one Value: tag = 1, metadata = 9, and `content` in the field `field`.
std::string summary_of(std::string_view tag, uint32_t field, std::string_view content,
                       std::string_view metadata = {}) {
  std::string value;
  pb::bytes(value, 1, tag);
  if (!metadata.empty()) pb::bytes(value, 9, metadata);
  if (field != 0) pb::bytes(value, field, content);
  std::string summary;
  pb::bytes(summary, 1, value);
  return summary;
}

/// SummaryMetadata: plugin_data = 1 {plugin_name = 1, content = 2}.
std::string plugin(std::string_view name, std::string_view content = {}) {
  std::string data;
  pb::bytes(data, 1, name);
  if (!content.empty()) pb::bytes(data, 2, content);
  std::string metadata;
  pb::bytes(metadata, 1, data);
  return metadata;
}

std::string packed(const std::vector<double>& numbers) {
  std::string bytes;
  for (const double number : numbers) pb::raw(bytes, number);
  return bytes;
}

/// google.protobuf.Value: number_value = 2, string_value = 3, bool_value = 4.
std::string setting(const Value& value) {
  std::string out;
  if (value.is_bool()) {
    pb::varint(out, 4, value.as_bool() ? 1 : 0);
  } else if (value.is_int() || value.is_double()) {
    pb::fixed64(out, 2, value.as_double());
  } else {
    pb::bytes(out, 3, value.is_string() ? value.as_string() : value.to_json());
  }
  return out;
}

/// A Value of the plugin hparams, whose content is HParamsPluginData with `content` as the field
/// `field`.
std::string session_record(std::string_view tag, uint32_t field, std::string_view content,
                           double wall_time) {
  std::string data;
  pb::bytes(data, field, content);
  return summary_record(summary_of(tag, 0, {}, plugin("hparams", data)), 0, wall_time);
}

/// TensorShapeProto: dim = 2 {size = 1}, unknown_rank = 3.
std::string tensor_shape(const std::optional<std::vector<int64_t>>& sizes) {
  std::string shape;
  if (!sizes) pb::varint(shape, 3, 1);
  for (const int64_t size : sizes.value_or(std::vector<int64_t>())) {
    std::string dimension;
    pb::varint(dimension, 1, size);
    pb::bytes(shape, 2, dimension);
  }
  return shape;
}

/// An entry of the map attr = 5 of a NodeDef; `value` is an AttrValue.
void add_node_attribute(std::string& node, std::string_view name, std::string_view value) {
  std::string entry;
  pb::bytes(entry, 1, name);
  pb::bytes(entry, 2, value);
  pb::bytes(node, 5, entry);
}

/// NodeDef: name = 1, op = 2, input = 3, attr = 5; AttrValue: list = 1 {shape = 7}, s = 2.
std::string graph_node(const GraphNode& node) {
  std::string out;
  pb::bytes(out, 1, node.name);
  pb::bytes(out, 2, node.op);
  for (const auto& input : node.inputs) pb::bytes(out, 3, input);
  for (const auto& [name, text] : node.attributes) {
    std::string value;
    pb::bytes(value, 2, text);
    add_node_attribute(out, name, value);
  }
  if (node.shapes.empty()) return out;
  std::string list;
  for (const auto& sizes : node.shapes) pb::bytes(list, 7, tensor_shape(sizes));
  std::string value;
  pb::bytes(value, 1, list);
  add_node_attribute(out, "_output_shapes", value);
  return out;
}

}  // namespace

std::string file_version(double wall_time) {
  std::string event;
  pb::fixed64(event, 1, wall_time);
  pb::bytes(event, 3, "brain.Event:2");
  std::string record;
  tfrecord::append(record, event);
  return record;
}

void Row::add(std::string_view tag, double value) {
  value_.clear();
  pb::bytes(value_, 1, tag);
  pb::fixed32(value_, 2, static_cast<float>(value));
  pb::bytes(summary_, 1, value_);
}

const std::string& Row::finish(int64_t step, double wall_time) {
  event_.clear();
  pb::fixed64(event_, 1, wall_time);
  pb::varint(event_, 2, step);
  pb::bytes(event_, 5, summary_);
  summary_.clear();
  record_.clear();
  tfrecord::append(record_, event_);
  return record_;
}

std::string text(std::string_view tag, std::string_view text, int64_t step, double wall_time) {
  std::string dimension;  // TensorShapeProto.Dim
  pb::varint(dimension, 1, 1);
  std::string shape;
  pb::bytes(shape, 2, dimension);
  std::string tensor;  // TensorProto
  pb::varint(tensor, 1, kString);
  pb::bytes(tensor, 2, shape);
  pb::bytes(tensor, 8, text);
  return summary_record(summary_of(std::string(tag) + "/text_summary", 8, tensor, plugin("text")),
                        step, wall_time);
}

std::string image(std::string_view tag, const Image& image, int64_t step, double wall_time) {
  std::string content;
  pb::varint(content, 1, image.height);
  pb::varint(content, 2, image.width);
  pb::varint(content, 3, image.channels);
  pb::bytes(content, 4, image.png);
  return summary_record(summary_of(tag, 4, content), step, wall_time);
}

Histogram histogram_of(std::span<const double> values) {
  Histogram result;
  std::vector<double> finite;
  finite.reserve(values.size());
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite),
               [](double value) { return std::isfinite(value); });
  if (finite.empty()) return result;
  const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
  result.min = *low;
  result.max = *high;
  const size_t buckets = result.min < result.max ? kBuckets : 1;
  const double low_part = result.min / static_cast<double>(buckets);
  const double high_part = result.max / static_cast<double>(buckets);
  for (size_t i = 1; i < buckets; ++i) {  // a sum of shares can't overflow
    result.limits.push_back(low_part * static_cast<double>(buckets - i) +
                            high_part * static_cast<double>(i));
  }
  result.limits.push_back(result.max);
  result.counts.assign(buckets, 0.0);
  for (const double value : finite) {
    result.sum += value;
    result.sum_squares += value * value;
    const auto limit = std::lower_bound(result.limits.begin(), result.limits.end(), value);
    ++result.counts[std::min(static_cast<size_t>(limit - result.limits.begin()), buckets - 1)];
  }
  return result;
}

std::string histogram(std::string_view tag, const Histogram& histogram, int64_t step,
                      double wall_time) {
  double count = 0.0;
  for (const double bucket : histogram.counts) count += bucket;
  std::string content;
  pb::fixed64(content, 1, histogram.min);
  pb::fixed64(content, 2, histogram.max);
  pb::fixed64(content, 3, count);
  pb::fixed64(content, 4, histogram.sum);
  pb::fixed64(content, 5, histogram.sum_squares);
  pb::bytes(content, 6, packed(histogram.limits));
  pb::bytes(content, 7, packed(histogram.counts));
  return summary_record(summary_of(tag, 5, content), step, wall_time);
}

std::string graph(std::span<const GraphNode> nodes, double wall_time) {
  std::string definition;  // GraphDef: node = 1, versions = 4 {producer = 1}
  for (const GraphNode& node : nodes) pb::bytes(definition, 1, graph_node(node));
  std::string versions;
  pb::varint(versions, 1, kGraphProducer);
  pb::bytes(definition, 4, versions);
  std::string event;  // Event: wall_time = 1, graph_def = 4
  pb::fixed64(event, 1, wall_time);
  pb::bytes(event, 4, definition);
  std::string record;
  tfrecord::append(record, event);
  return record;
}

std::string settings(const Value& settings, double wall_time) {
  std::string start;
  for (const auto& [name, value] : flat_settings(settings)) {
    std::string entry;  // of the map hparams = 1
    pb::bytes(entry, 1, name);
    pb::bytes(entry, 2, setting(value));
    pb::bytes(start, 1, entry);
  }
  pb::fixed64(start, 5, wall_time);
  return session_record("_hparams_/session_start_info", 3, start, wall_time);
}

std::string end_of_run(bool failed, double wall_time) {
  std::string end;
  pb::varint(end, 1, failed ? 2 : 1);
  pb::fixed64(end, 2, wall_time);
  return session_record("_hparams_/session_end_info", 4, end, wall_time);
}

}  // namespace levin::events
