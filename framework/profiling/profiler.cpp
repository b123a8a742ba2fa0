#include <levin/framework/profiling/profiler.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/value.h>

namespace levin {
namespace {

/// Whether the part counts as validation while a validation is under way.
bool belongs_to_validation(Part part) {
  return part == Part::data || part == Part::transfer || part == Part::forward;
}

/// Shares in tenths of a percent that add up to 1,000. They are rounded down first; then those that
/// lost most by it are raised by one each until the sum is right.
std::array<int, kNumParts> shares_in_tenths(const Profile& profile) {
  std::array<int, kNumParts> tenths{};
  std::array<double, kNumParts> lost{};
  for (size_t i = 0; i < kNumParts; ++i) {
    const double exact = 10.0 * profile.percent(static_cast<Part>(i));
    tenths[i] = static_cast<int>(std::floor(exact));
    lost[i] = exact - tenths[i];
  }
  std::array<size_t, kNumParts> order{};
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lost[a] > lost[b]; });
  int missing = 1000 - std::accumulate(tenths.begin(), tenths.end(), 0);
  for (size_t i = 0; i < kNumParts && missing > 0; ++i, --missing) ++tenths[order[i]];
  return tenths;
}

/// One line for each rank: what it sent, how long that took, and how long its other parts took.
std::string table_of_ranks(const std::vector<Profile>& ranks) {
  std::string text = fmt::format("{:<6}{:>10}{:>17}{:>11}{:>11}{:>14}{:>11}{:>12}{:>10}\n", "rank",
                                 "MiB sent", "communication s", "overlap %", "waiting s",
                                 "for slower s", "forward s", "backward s", "update s");
  for (size_t r = 0; r < ranks.size(); ++r) {
    const Communication& one = ranks[r].communication;
    const auto work = [&](Part part) {
      const Profile::Row& row = ranks[r].row(part);
      return std::max(0.0, row.seconds - row.waiting);
    };
    text += fmt::format(
        "{:<6}{:>10.2f}{:>17.3f}{:>11.1f}{:>11.3f}{:>14.3f}{:>11.3f}{:>12.3f}{:>10.3f}\n", r,
        one.mib(), one.seconds, one.overlap_percent(), one.waiting, one.for_slower,
        work(Part::forward), work(Part::backward), work(Part::optimizer));
  }
  return text;
}

/// One line for each rank of a pipeline: what it sent, and how long it waited and for what.
std::string table_of_pipeline(const std::vector<Profile>& ranks) {
  std::string text =
      fmt::format("{:<10}{:>9}{:>10}{:>11}{:>15}{:>11}{:>15}{:>17}{:>10}{:>13}\n", "pipeline",
                  "batches", "messages", "MiB sent", "in pipeline s", "waiting s", "for outputs s",
                  "for gradients s", "bubble %", "scheduled %");
  for (size_t r = 0; r < ranks.size(); ++r) {
    const Pipelining& one = ranks[r].pipelining;
    text += fmt::format(
        "rank {:<5}{:>9}{:>10}{:>11.2f}{:>15.3f}{:>11.3f}{:>15.3f}{:>17.3f}{:>10.1f}{:>13.1f}\n", r,
        one.batches, one.messages, one.mib(), one.seconds, one.waiting, one.for_outputs,
        one.for_gradients, one.bubble_percent(), 100 * one.scheduled_bubble);
  }
  return text;
}

/// One line for each kind of exchange besides gradients and each rank; empty without any.
std::string table_of_exchanges(const std::vector<Profile>& ranks) {
  std::string text;
  for (size_t kind = 0; kind < kNumExchangeKinds; ++kind) {
    const bool is_there = std::any_of(ranks.begin(), ranks.end(), [&](const Profile& rank) {
      return rank.exchanges[kind].calls > 0;
    });
    if (!is_there) continue;
    for (size_t r = 0; r < ranks.size(); ++r) {
      const ExchangeSum& one = ranks[r].exchanges[kind];
      text += fmt::format("{:<14}rank {:<5}{:>9}{:>11.2f}{:>11.3f}\n",
                          exchange_name(static_cast<ExchangeKind>(kind)), r, one.calls, one.mib(),
                          one.waiting);
    }
  }
  if (text.empty()) return text;
  return fmt::format("{:<14}{:<10}{:>9}{:>11}{:>11}\n", "exchange", "", "calls", "MiB sent",
                     "waiting s") +
         text;
}

/// A profile as text, to be sent to the other ranks; `from_text` reads it.
std::string to_text(const Profile& profile) {
  Value value;
  value["seconds"] = profile.seconds;
  value["threads"] = static_cast<int64_t>(profile.threads);
  Value::Array rows;
  for (const auto& row : profile.rows) {
    rows.emplace_back(Value::Array{row.calls, row.seconds, row.waiting});
  }
  value["rows"] = std::move(rows);
  const Communication& one = profile.communication;
  value["communication"] =
      Value::Array{one.steps, one.bytes, one.seconds, one.hidden, one.waiting, one.stride};
  const Pipelining& passes = profile.pipelining;
  value["pipelining"] = Value::Array{
      passes.batches, passes.seconds,     passes.waiting,       passes.messages,
      passes.bytes,   passes.for_outputs, passes.for_gradients, passes.scheduled_bubble};
  Value::Array exchanges;
  for (const auto& each : profile.exchanges) {
    exchanges.emplace_back(Value::Array{each.calls, each.bytes, each.waiting});
  }
  value["exchanges"] = std::move(exchanges);
  value["waits"] = Value::Array(one.waits.begin(), one.waits.end());
  return value.to_json();
}

Profile from_text(const std::string& text, Stage stage) {
  const Value value = Value::from_json(text);
  Profile profile;
  profile.stage = stage;
  profile.seconds = value.at("seconds").as_double();
  profile.threads = static_cast<int>(value.at("threads").as_int());
  for (size_t i = 0; i < kNumParts; ++i) {
    const auto& row = value.at("rows").as_array().at(i).as_array();
    profile.rows[i] = {row.at(0).as_int(), row.at(1).as_double(), row.at(2).as_double()};
  }
  const auto& figures = value.at("communication").as_array();
  Communication& one = profile.communication;
  one.steps = figures.at(0).as_int();
  one.bytes = figures.at(1).as_int();
  one.seconds = figures.at(2).as_double();
  one.hidden = figures.at(3).as_double();
  one.waiting = figures.at(4).as_double();
  one.stride = figures.at(5).as_int();
  const auto& passes = value.at("pipelining").as_array();
  profile.pipelining = {.batches = passes.at(0).as_int(),
                        .seconds = passes.at(1).as_double(),
                        .waiting = passes.at(2).as_double(),
                        .for_outputs = passes.at(5).as_double(),
                        .for_gradients = passes.at(6).as_double(),
                        .messages = passes.at(3).as_int(),
                        .bytes = passes.at(4).as_int(),
                        .scheduled_bubble = passes.at(7).as_double()};
  for (size_t i = 0; i < kNumExchangeKinds; ++i) {
    const auto& sum = value.at("exchanges").as_array().at(i).as_array();
    profile.exchanges[i] = {sum.at(0).as_int(), sum.at(1).as_int(), sum.at(2).as_double()};
  }
  for (const Value& wait : value.at("waits").as_array()) {
    one.waits.push_back(static_cast<float>(wait.as_double()));
  }
  return profile;
}

}  // namespace

std::string_view part_name(Part part) {
  static constexpr std::array<std::string_view, kNumParts> kNames = {
      "waiting for data", "transfer",   "forward", "backward", "optimizer",
      "callbacks",        "validation", "loggers", "files",    "the rest"};
  return kNames[static_cast<size_t>(part)];
}

std::string Profile::table() const {
  std::string text =
      fmt::format("{}: {:.3f} s, LibTorch's threads: {}\n", stage_name(stage), seconds, threads);
  if (seconds <= 0.0) return text;
  const auto tenths = shares_in_tenths(*this);
  std::array<size_t, kNumParts> order{};
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end() - 1,  // the rest comes last
                   [&](size_t a, size_t b) { return rows[a].seconds > rows[b].seconds; });
  text +=
      fmt::format("{:<18}{:>12}{:>12}{:>14}{:>9}\n", "part", "calls", "seconds", "mean us", "%");
  for (const size_t i : order) {
    const Row& one = rows[i];
    const bool is_rest = static_cast<Part>(i) == Part::rest;
    if (one.calls == 0 && !is_rest) continue;
    text += fmt::format("{:<18}{:>12}{:>12.3f}{:>14}{:>9}\n", part_name(static_cast<Part>(i)),
                        is_rest ? "" : fmt::format("{}", one.calls), one.seconds,
                        is_rest ? "" : fmt::format("{:.2f}", one.mean_us()),
                        fmt::format("{}.{}", tenths[i] / 10, tenths[i] % 10));
  }
  text += fmt::format("{:<18}{:>12}{:>12.3f}{:>14}{:>9}\n", "all", "", seconds, "", "100.0");
  if (!ranks.empty()) text += table_of_ranks(ranks);
  const bool has_pipeline = std::any_of(
      ranks.begin(), ranks.end(), [](const Profile& rank) { return rank.pipelining.batches > 0; });
  if (has_pipeline) text += table_of_pipeline(ranks);
  return text + table_of_exchanges(ranks);
}

void SimpleProfiler::begin_run(Stage stage) {
  profile_ = {};
  profile_.stage = stage;
  ranks_ = &single_rank();
  global_step_ = nullptr;
  folder_ = {};
  waits_.clear();
  open_.clear();
  open_.reserve(16);
  running_ = true;
  started_ = last_ = files::monotonic_seconds();
}

void SimpleProfiler::joined(Ranks& ranks, const int64_t* global_step,
                            std::function<std::filesystem::path()> folder) {
  ranks_ = &ranks;
  global_step_ = global_step;
  folder_ = std::move(folder);
}

void SimpleProfiler::pass_time() {
  const double now = files::monotonic_seconds();
  const Part part = open_.empty() ? Part::rest : open_.back();
  profile_.row(part).seconds += now - last_;
  waits_.empty() ? passed(part, last_, now) : pass_waits(part, now);
  last_ = now;
}

/// Waits may overlap: this rank may wait for a layer while it waits for gradients.
void SimpleProfiler::pass_waits(Part part, double now) {
  std::sort(waits_.begin(), waits_.end(),
            [](const Wait& a, const Wait& b) { return a.begin < b.begin; });
  double from = last_;
  for (const Wait& wait : waits_) {
    const double begin = std::clamp(wait.begin, from, now);
    const double end = std::clamp(wait.end, from, now);
    if (end <= begin) continue;
    if (begin > from) passed(part, from, begin);
    waited(part, begin, end);
    profile_.row(part).waiting += end - begin;
    from = end;
  }
  if (now > from) passed(part, from, now);
  waits_.clear();
}

void SimpleProfiler::reduced(const Reduction& step) {
  profile_.communication.add(step);
  for (const Wait& other : waits_) {  // counts as that exchange's
    const double begin = std::max(other.begin, step.ready);
    const double end = std::min(other.end, step.end);
    if (end > begin) profile_.communication.waiting -= end - begin;
  }
  waits_.push_back({step.ready, step.end});
}

void SimpleProfiler::exchanged(const Exchange& exchange) {
  profile_.exchanges[static_cast<size_t>(exchange.kind)].add(exchange);
  if (exchange.waiting > 0) waits_.push_back({exchange.end - exchange.waiting, exchange.end});
}

void SimpleProfiler::pipelined(const PipelineBatch& batch) {
  if (batch.passes.empty()) {  // the end of a batch that has been counted
    profile_.pipelining.seconds += batch.end - batch.begin;
    profile_.pipelining.waiting += batch.waiting;
    return;
  }
  profile_.pipelining.add(batch);
  profile_.row(open_.empty() ? Part::rest : open_.back()).waiting += batch.waiting;
}

void SimpleProfiler::begin(Part part) {
  pass_time();
  const bool in_validation = !open_.empty() && open_.back() == Part::validation;
  if (in_validation && belongs_to_validation(part)) {
    part = Part::validation;
  } else {
    ++profile_.row(part).calls;
  }
  open_.push_back(part);
}

void SimpleProfiler::end(Part /*part*/) {
  pass_time();
  if (!open_.empty()) open_.pop_back();
}

void SimpleProfiler::end_run(bool failed) {
  pass_time();
  open_.clear();
  profile_ = profile();
  running_ = false;
  if (failed) return;
  if (ranks_->size() > 1) gather_ranks();
  if (out_ != nullptr && ranks_->is_zero()) diagnostics::print(out_, profile_.table());
}

void SimpleProfiler::gather_ranks() {
  std::vector<Communication> communication;
  for (const std::string& text : ranks_->gather(to_text(profile_))) {
    profile_.ranks.push_back(from_text(text, profile_.stage));
    communication.push_back(profile_.ranks.back().communication);
  }
  tell_slower_apart(communication);
  for (size_t r = 0; r < communication.size(); ++r) {
    profile_.ranks[r].communication = std::move(communication[r]);
  }
  profile_.communication = profile_.ranks.at(static_cast<size_t>(ranks_->rank())).communication;
}

Profile SimpleProfiler::profile() const {
  Profile result = profile_;
  result.seconds = last_ - started_;
  if (running_) result.threads = at::get_num_threads();
  return result;
}

}  // namespace levin
