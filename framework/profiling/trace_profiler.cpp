#include <levin/framework/profiling/trace_profiler.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <iterator>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/host_name.h>
#include <levin/framework/core/value.h>

namespace levin {
namespace {

using Kind = TraceEvent::Kind;

constexpr double kShortest = 1e-6;  // seconds
constexpr int kMeetings = 5;

/// Names the host: ranks with the same name read the same clock.
std::string name_of_clock() {
  try {
    return files::read_text("/proc/sys/kernel/random/boot_id");
  } catch (const std::exception&) {
    return host_name();
  }
}

std::string_view name_of(const TraceEvent& event) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "data",       "transfer", "forward", "backward", "update",       "callbacks",
      "validation", "loggers",  "files",   "idle",     "communication"};
  if (event.exchange >= 0) return exchange_name(static_cast<ExchangeKind>(event.exchange));
  return kNames[static_cast<size_t>(event.kind)];
}

/// What an event tells besides its name and its time, as members of a JSON object.
std::string arguments_of(const TraceEvent& event) {
  std::string text = fmt::format(R"("step":{})", event.step);
  if (event.kind == Kind::communication) text += fmt::format(R"(,"bytes":{})", event.bytes);
  if (event.micro_batch < 0) return text;
  return text + fmt::format(R"(,"stage":{},"micro_batch":{})", event.stage, event.micro_batch);
}

std::string metadata(const char* what, int64_t rank, size_t thread, const std::string& name) {
  return fmt::format(R"({{"name":"{}","ph":"M","pid":{},"tid":{},"args":{{"name":"{}"}}}})", what,
                     rank, thread, name);
}

/// The first thread after the training's on which nothing is under way at `begin`.
size_t free_thread(std::vector<double>& ends, const TraceEvent& event) {
  size_t i = 0;
  while (i < ends.size() && ends[i] > event.begin) ++i;
  if (i == ends.size()) ends.push_back(0.0);
  ends[i] = event.end;
  return i + 1;
}

}  // namespace

void TraceEvents::add(const TraceEvent& event) {
  if (!events_.empty() && event.kind != Kind::communication) {
    TraceEvent& last = events_[last_];
    if (last.kind == event.kind && last.step == event.step && last.stage == event.stage &&
        last.micro_batch == event.micro_batch && event.begin - last.end < kShortest) {
      last.end = event.end;
      return;
    }
  }
  if (events_.size() < capacity_) {
    last_ = events_.size();
    events_.push_back(event);
    return;
  }
  ++dropped_;
  if (capacity_ == 0) return;
  const size_t half = capacity_ / 2;
  last_ = last_ + 1 < capacity_ ? last_ + 1 : half;
  events_[last_] = event;
}

std::vector<TraceEvent> TraceEvents::sorted() const {
  std::vector<TraceEvent> result = events_;
  std::stable_sort(result.begin(), result.end(),
                   [](const auto& a, const auto& b) { return a.begin < b.begin; });
  return result;
}

std::string chrome_events(const std::vector<TraceEvent>& events, int64_t rank, double shift) {
  std::string text = metadata("process_name", rank, 0, fmt::format("rank {}", rank)) + ",\n" +
                     metadata("thread_name", rank, 0, "training");
  std::vector<double> ends;  // when the last event of each communication thread ends
  for (const TraceEvent& event : events) {
    const bool is_communication = event.kind == Kind::communication;
    const size_t known = ends.size();
    const size_t thread = is_communication ? free_thread(ends, event) : 0;
    if (ends.size() > known) {
      text +=
          ",\n" + metadata("thread_name", rank, thread, fmt::format("communication {}", thread));
    }
    text += fmt::format(
        ",\n"
        R"({{"name":"{}","cat":"{}","ph":"X","ts":{:.3f},"dur":{:.3f},"pid":{},"tid":{},)"
        R"("args":{{{}}}}})",
        name_of(event), is_communication ? "communication" : "training",
        (event.begin + shift) * 1e6, (event.end - event.begin) * 1e6, rank, thread,
        arguments_of(event));
  }
  return text;
}

double clock_offset(const std::vector<double>& first, const std::vector<double>& other) {
  std::vector<double> differences;
  for (size_t i = 0; i < std::min(first.size(), other.size()); ++i) {
    differences.push_back(first[i] - other[i]);
  }
  if (differences.empty()) return 0.0;
  const auto middle = differences.begin() + std::ssize(differences) / 2;
  std::nth_element(differences.begin(), middle, differences.end());
  return *middle;
}

TraceProfiler::TraceProfiler(TraceProfilerOptions options, std::FILE* out)
    : SimpleProfiler(nullptr), options_(options), trace_out_(out) {}

void TraceProfiler::begin_run(Stage stage) {
  SimpleProfiler::begin_run(stage);
  meetings_.clear();
  passes_.clear();
  make_room();
}

void TraceProfiler::make_room() {
  const auto capacity =
      static_cast<size_t>(std::max<int64_t>(0, options_.max_events / ranks().size()));
  const size_t collectives = ranks().size() > 1 ? capacity / 4 : 0;
  collectives_ = TraceEvents(collectives);
  events_ = TraceEvents(capacity - collectives);
}

void TraceProfiler::joined(Ranks& ranks, const int64_t* global_step,
                           std::function<std::filesystem::path()> folder) {
  SimpleProfiler::joined(ranks, global_step, std::move(folder));
  make_room();
  if (ranks.size() == 1) return;
  for (int i = 0; i < kMeetings; ++i) {
    ranks.gather("");
    meetings_.push_back(files::monotonic_seconds());
  }
}

void TraceProfiler::add(Kind kind, double from, double to) {
  if (to - from < kShortest) return;
  events_.add({.begin = from, .end = to, .step = global_step(), .kind = kind});
}

void TraceProfiler::passed(Part part, double from, double to) {
  if (part == Part::rest) return;
  static constexpr std::array<Kind, kNumParts - 1> kKinds = {
      Kind::data,      Kind::transfer,   Kind::forward, Kind::backward, Kind::update,
      Kind::callbacks, Kind::validation, Kind::loggers, Kind::files};
  std::erase_if(passes_, [&](const auto& pass) { return pass.end <= from; });
  if (part == Part::forward && !passes_.empty()) return passed_by_pipeline(from, to);
  add(kKinds[static_cast<size_t>(part)], from, to);
}

void TraceProfiler::waited(Part /*part*/, double from, double to) { add(Kind::idle, from, to); }

void TraceProfiler::passed_by_pipeline(double from, double to) {
  for (const auto& pass : passes_) {
    const double begin = std::clamp(pass.begin, from, to);
    const double end = std::clamp(pass.end, begin, to);
    add(Kind::idle, from, begin);
    if (end - begin >= kShortest) {
      events_.add({.begin = begin,
                   .end = end,
                   .step = global_step(),
                   .kind = pass.is_forward ? Kind::forward : Kind::backward,
                   .stage = static_cast<int16_t>(pass.stage),
                   .micro_batch = static_cast<int32_t>(pass.micro_batch)});
    }
    from = end;
  }
  add(Kind::idle, from, to);
}

void TraceProfiler::pipelined(const PipelineBatch& batch) {
  SimpleProfiler::pipelined(batch);
  if (!batch.passes.empty()) passes_ = batch.passes;
}

void TraceProfiler::reduced(const Reduction& step) {
  SimpleProfiler::reduced(step);
  for (const auto& one : step.collectives) {
    collectives_.add({.begin = one.begin,
                      .end = one.end,
                      .step = global_step(),
                      .bytes = one.bytes,
                      .kind = Kind::communication});
  }
}

void TraceProfiler::exchanged(const Exchange& exchange) {
  SimpleProfiler::exchanged(exchange);
  collectives_.add({.begin = exchange.begin,
                    .end = exchange.end,
                    .step = global_step(),
                    .bytes = exchange.bytes,
                    .kind = Kind::communication,
                    .exchange = static_cast<int8_t>(exchange.kind)});
}

std::string TraceProfiler::own_summary() const {
  Value value;
  value["host"] = name_of_clock();
  value["started"] = started();
  value["meetings"] = Value::Array(meetings_.begin(), meetings_.end());
  value["dropped"] = events_.dropped() + collectives_.dropped();
  return value.to_json();
}

std::string TraceProfiler::own_text(double shift) const {
  auto events = events_.sorted();
  const auto collectives = collectives_.sorted();
  events.insert(events.end(), collectives.begin(), collectives.end());
  return chrome_events(events, ranks().rank(), shift);
}

void TraceProfiler::end_run(bool failed) {
  SimpleProfiler::end_run(failed);
  if (failed || !folder()) return;
  std::vector<Value> all;
  for (const auto& text : ranks().gather(own_summary())) all.push_back(Value::from_json(text));
  const auto meetings_of = [](const Value& rank) {
    std::vector<double> result;
    for (const Value& one : rank.at("meetings").as_array()) result.push_back(one.as_double());
    return result;
  };
  double begin = std::numeric_limits<double>::infinity();
  std::vector<double> offsets;
  int64_t dropped = 0;
  for (const Value& rank : all) {
    const bool is_same = rank.at("host") == all.front().at("host");
    offsets.push_back(is_same ? 0.0 : clock_offset(meetings_of(all.front()), meetings_of(rank)));
    begin = std::min(begin, rank.at("started").as_double() + offsets.back());
    dropped += rank.at("dropped").as_int();
  }
  const auto run_folder = folder()();
  const auto own = static_cast<size_t>(ranks().rank());
  const auto texts = ranks().gather(own_text(offsets.at(own) - begin));
  if (ranks().is_zero()) write(run_folder, texts, dropped);
}

void TraceProfiler::write(const std::filesystem::path& run_folder,
                          const std::vector<std::string>& texts, int64_t dropped) const {
  std::string all = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  for (size_t r = 0; r < texts.size(); ++r) all += (r > 0 ? ",\n" : "") + texts[r];
  all += "\n]}\n";
  const Stage stage = profile().stage;
  const auto path =
      run_folder /
      (stage == Stage::fit ? "trace.json" : fmt::format("trace_{}.json", stage_name(stage)));
  try {
    files::write_atomically(path, all);
  } catch (const CheckpointError& error) {  // the run itself has come to its end
    return diagnostics::print(fmt::format("warning: there is no trace: {}\n", error.what()));
  }
  if (trace_out_ == nullptr) return;
  const std::string note = dropped == 0
                               ? ""
                               : fmt::format(
                                     " ({} events from the middle of the run were left out; raise "
                                     "max_events to keep them)",
                                     dropped);
  diagnostics::print(trace_out_, fmt::format("wrote the trace {}{}\n", path.string(), note));
}

}  // namespace levin
