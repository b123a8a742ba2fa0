#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/core/value.h>

/// The events of TensorBoard's files. A file is a sequence of events, each of them a protobuf
/// message in a record of tfrecord.h; the first one is `file_version`. Each function but `Row`
/// returns a whole record, which can be appended to a file.
///
///     std::string file = events::file_version(now);
///     file += events::text("note", "it **works**", step, now);
///
/// The layout of the messages is that of event.proto, summary.proto, tensor.proto, graph.proto and,
/// for settings, the plugin hparams, all in https://github.com/tensorflow/tensorboard. `wall_time`
/// is in seconds since 1970.
namespace levin::events {

/// The event that a file begins with.
std::string file_version(double wall_time);

/// An event of scalars, which keeps its memory from one to the next.
class Row {
 public:
  /// Adds a scalar to the event.
  void add(std::string_view tag, double value);
  /// Ends the event, and returns its record, which is valid until the next call.
  const std::string& finish(int64_t step, double wall_time);

 private:
  std::string value_;
  std::string summary_;
  std::string event_;
  std::string record_;
};

/// A text, which TensorBoard shows as Markdown.
std::string text(std::string_view tag, std::string_view text, int64_t step, double wall_time);

/// An image, `png` being the bytes of a PNG file.
struct Image {
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t channels = 0;
  std::string png;
};
std::string image(std::string_view tag, const Image& image, int64_t step, double wall_time);

/// The distribution of some numbers. Bucket i holds those above `limits[i - 1]` up to `limits[i]`.
struct Histogram {
  double min = 0.0;
  double max = 0.0;
  double sum = 0.0;
  double sum_squares = 0.0;
  std::vector<double> limits;
  std::vector<double> counts;
};
/// Counts numbers in 30 buckets of the same width, as TensorFlow does; fewer if all are the same.
/// Infinities and NaNs aren't counted, and there are no buckets if nothing else is there.
Histogram histogram_of(std::span<const double> values);
std::string histogram(std::string_view tag, const Histogram& histogram, int64_t step,
                      double wall_time);

/// A node of a graph, which TensorBoard shows in the tab GRAPHS.
struct GraphNode {
  /// Its name, which no other node has. Slashes end the names of the groups that the node is in,
  /// from the outermost one: "encoder/layer0/linear".
  std::string name;
  /// The kind of operation.
  std::string op;
  /// The names of the nodes whose outputs it gets; "lstm:1" is output 1 of the node "lstm".
  std::vector<std::string> inputs{};
  /// The shape of each of its outputs; nothing if it isn't known.
  std::vector<std::optional<std::vector<int64_t>>> shapes{};
  /// What else is shown of it, by name.
  std::vector<std::pair<std::string, std::string>> attributes{};
};
/// The graph of a run, a GraphDef. TensorBoard shows the last one that a run has.
std::string graph(std::span<const GraphNode> nodes, double wall_time);

/// The start of a run with these settings, for the tab HPARAMS, which shows the last value of each
/// of the run's scalars beside them. They are named as `flat_settings` names them.
std::string settings(const Value& settings, double wall_time);
/// The end of such a run.
std::string end_of_run(bool failed, double wall_time);

}  // namespace levin::events
