#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <levin/framework/profiling/profiler.h>

namespace levin {

/// Options of TraceProfiler.
struct TraceProfilerOptions {
  /// The most events in the file, all ranks together. Each takes 40 bytes of memory while the run
  /// goes on. If a run has more, events of its middle are left out.
  int64_t max_events = 400'000;
};

/// Something a rank did, with its beginning and end: one bar of the timeline.
struct TraceEvent {
  enum class Kind : uint8_t {
    data,           ///< waiting for the next batch
    transfer,       ///< moving a batch to the device
    forward,        ///< training_step, validation_step ...
    backward,       ///< backward, until this rank's last gradient is complete
    update,         ///< the optimizer's step
    callbacks,      ///< hooks of callbacks and of the module
    validation,     ///< validation within fit
    loggers,        ///< handing rows to loggers
    files,          ///< writing and reading checkpoints
    idle,           ///< waiting for other ranks
    communication,  ///< something that ranks exchange; runs beside the others
  };
  /// Moments of files::monotonic_seconds, in seconds.
  double begin = 0.0;
  double end = 0.0;
  /// The number of optimizer steps done before it; the timeline shows it with the event.
  int64_t step = 0;
  /// The bytes that this rank sent in a communication; 0 for all other events.
  int64_t bytes = 0;
  Kind kind = Kind::data;
  /// Of a communication, what was exchanged: an ExchangeKind, or -1 for gradients.
  int8_t exchange = -1;
  /// Of a pass of a pipeline, its stage and micro-batch; -1 for all other events.
  int16_t stage = -1;
  int32_t micro_batch = -1;
};
static_assert(sizeof(TraceEvent) <= 40, "the comment of max_events says how large an event is");

/// Keeps the first half and the last half of a long sequence of events in bounded memory, so that
/// both the start and the end of a long run can be seen. Memory grows with the events kept.
class TraceEvents {
 public:
  /// Keeps at most `capacity` events.
  explicit TraceEvents(size_t capacity = 0) : capacity_(capacity) {}
  /// Adds an event, or lengthens the last one if this one continues it: the same kind in the same
  /// step, less than a microsecond later. Communications and passes of different micro-batches are
  /// never joined.
  void add(const TraceEvent& event);
  /// The events kept, in the order of their beginnings. Copies them.
  std::vector<TraceEvent> sorted() const;
  /// How many events of the middle were left out.
  int64_t dropped() const { return dropped_; }

 private:
  size_t capacity_;
  std::vector<TraceEvent> events_;  // the second half is a ring
  size_t last_ = 0;
  int64_t dropped_ = 0;
};

/// Writes a timeline of all ranks, besides adding up the numbers of SimpleProfiler. The file is
/// `trace.json` in the run's folder (`trace_test.json` and so on for other stages than fit). Open
/// it in Perfetto (ui.perfetto.dev) or chrome://tracing.
///
///     trainer.set_profiler(std::make_unique<levin::TraceProfiler>());
///
/// Each rank is shown as a process, with one thread for the training and others for exchanges that
/// are under way at the same time: "communication" are gradients, and all other ones have the names
/// of exchange_name. Events of exchanges tell the bytes that the rank sent. Times are microseconds
/// from the start of the first rank. Events shorter than a microsecond are left out. A failed run
/// leaves no trace. At the end, the events of all ranks are gathered as text, which takes memory
/// and time in proportion to their number.
///
/// Ranks of one host read the same clock. The clocks of several hosts are compared when the run
/// starts: all ranks gather five times, and the moments at which they go on are taken for the same
/// moment (the median of the five). The error is about the time that a message takes through all
/// ranks: tenths of a millisecond in one rack. How clocks drift apart later, some 10 microseconds a
/// second, is not corrected.
class TraceProfiler : public SimpleProfiler {
 public:
  using Options = TraceProfilerOptions;
  /// At the end of a run that hasn't failed, rank 0 writes one line to `out` that says where the
  /// trace lies and how many events of all ranks were left out. With null it writes no line.
  explicit TraceProfiler(TraceProfilerOptions options = {}, std::FILE* out = stderr);

  /// Clears the events and starts the clock.
  void begin_run(Stage stage) override;
  /// Also compares the clocks of several ranks: gathers five times.
  void joined(Ranks& ranks, const int64_t* global_step,
              std::function<std::filesystem::path()> folder) override;
  void reduced(const Reduction& step) override;
  void exchanged(const Exchange& exchange) override;
  /// The forward part that goes on then becomes the passes of the batch, with `idle` between them.
  void pipelined(const PipelineBatch& batch) override;
  /// Writes the trace, unless the run has failed or may not write. A collective with several ranks.
  void end_run(bool failed) override;

 protected:
  void passed(Part part, double from, double to) override;
  /// Makes the time `idle`, whatever the part is.
  void waited(Part part, double from, double to) override;

 private:
  /// Divides `max_events` among ranks, and this rank's share among its two lists of events.
  void make_room();
  void add(TraceEvent::Kind kind, double from, double to);
  /// Makes events of the passes of a pipeline, and of the time between them.
  void passed_by_pipeline(double from, double to);
  /// What the other ranks need to know of this one: its host, its start and the meetings, to
  /// compare clocks, and how many events it has left out.
  std::string own_summary() const;
  /// This rank's events in Chrome's format.
  std::string own_text(double shift) const;
  /// On rank 0: writes the file and the line. `texts` are the events of all ranks.
  void write(const std::filesystem::path& run_folder, const std::vector<std::string>& texts,
             int64_t dropped) const;

  TraceProfilerOptions options_;
  std::FILE* trace_out_;
  TraceEvents events_;
  TraceEvents collectives_;
  std::vector<PipelineBatch::Pass> passes_;  // of the forward part in progress
  std::vector<double> meetings_;             // the moments at which the ranks' gatherings ended
};

/// The events in Chrome's trace format, one complete event ("X") a line; lines are joined by ",\n",
/// without brackets around them. `rank` is the number of the process, and `shift`, in seconds, is
/// added to every moment.
std::string chrome_events(const std::vector<TraceEvent>& events, int64_t rank, double shift);

/// The seconds to add to a rank's clock to get the first rank's: the median of the differences, 0
/// without any. `first` and `other` are the moments at which the same gatherings ended, each by its
/// rank's clock.
double clock_offset(const std::vector<double>& first, const std::vector<double>& other);

}  // namespace levin
