#include <levin/framework/pipeline/schedule.h>

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

using PipelineActions = std::vector<PipelineAction>;
using PassKind = PipelineAction::Kind;

constexpr const char* kGPipe = "gpipe";
constexpr const char* kOneForwardOneBackward = "1f1b";
constexpr const char* kInterleaved = "interleaved1f1b";

void check_pipeline_sizes(const std::string& name, const PipelineSizes& sizes) {
  const auto names = PipelineSchedule::names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw ConfigError::unknown_name("pipeline_schedule", name, names);
  }
  const auto at_least_one = [](const char* what, int64_t size) {
    if (size >= 1) return;
    throw ConfigError::invalid_value(what, fmt::to_string(size), "must be at least 1");
  };
  at_least_one("pipeline_size", sizes.ranks);
  at_least_one("pipeline_chunks", sizes.chunks);
  at_least_one("micro_batches", sizes.micro_batches);
  if (name != kInterleaved) {
    if (sizes.chunks == 1) return;
    throw ConfigError::conflict(
        fmt::format("pipeline_chunks = {} with pipeline_schedule = {}", sizes.chunks, name),
        fmt::format("use 1, or pipeline_schedule = {}", kInterleaved));
  }
  const int64_t rounds = std::max<int64_t>(1, sizes.micro_batches / sizes.ranks);
  if (sizes.micro_batches % rounds == 0) return;
  throw ConfigError::invalid_value(
      "micro_batches", fmt::to_string(sizes.micro_batches),
      fmt::format("must be a multiple of {0}, the number of rounds of {1} stages in {2}; use {3}",
                  rounds, sizes.ranks, kInterleaved, rounds * sizes.ranks));
}

PipelineActions gpipe(int64_t rank, const PipelineSizes& sizes) {
  PipelineActions actions;
  for (const PassKind kind : {PassKind::forward, PassKind::backward}) {
    for (int64_t i = 0; i < sizes.micro_batches; ++i) actions.push_back({kind, rank, i});
  }
  return actions;
}

/// The order of 1F1B with any number of chunks; with one chunk, a rank holds at most `ranks - rank`
/// micro-batches.
PipelineActions one_forward_one_backward(int64_t rank, const PipelineSizes& sizes) {
  const int64_t ranks = sizes.ranks;
  const int64_t chunks = sizes.chunks;
  const int64_t micro_batches = sizes.micro_batches;
  const int64_t passes = chunks * micro_batches;  // forward, and as many backward
  // As many micro-batches go through one chunk before a rank turns to the next.
  const int64_t round = micro_batches / std::max<int64_t>(1, micro_batches / ranks);
  const int64_t behind = ranks - 1 - rank;
  const int64_t first = chunks == 1 ? behind : (chunks - 1) * round + 2 * behind;
  const int64_t warm_up = std::min(first, passes);
  std::vector<int64_t> done_forward(static_cast<size_t>(chunks));
  std::vector<int64_t> done_backward(static_cast<size_t>(chunks));
  PipelineActions actions;
  const auto forward = [&](int64_t pass) {
    const int64_t chunk = pass / round % chunks;
    actions.push_back(
        {PassKind::forward, chunk * ranks + rank, done_forward[static_cast<size_t>(chunk)]++});
  };
  const auto backward = [&](int64_t pass) {
    const int64_t chunk = chunks - 1 - pass / round % chunks;
    actions.push_back(
        {PassKind::backward, chunk * ranks + rank, done_backward[static_cast<size_t>(chunk)]++});
  };
  for (int64_t pass = 0; pass < passes + warm_up; ++pass) {
    if (pass < passes) forward(pass);
    if (pass >= warm_up) backward(pass - warm_up);
  }
  return actions;
}

}  // namespace

std::string to_string(const PipelineAction& action) {
  return fmt::format("{}{}{}", action.stage, action.kind == PassKind::forward ? 'F' : 'B',
                     action.micro_batch);
}

std::vector<std::string> PipelineSchedule::names() {
  return {kGPipe, kOneForwardOneBackward, kInterleaved};
}

PipelineSchedule::PipelineSchedule(const std::string& name, PipelineSizes sizes)
    : name_(name), sizes_(sizes) {
  check_pipeline_sizes(name, sizes);
  for (int64_t rank = 0; rank < sizes.ranks; ++rank) {
    actions_.push_back(name == kGPipe ? gpipe(rank, sizes) : one_forward_one_backward(rank, sizes));
  }
}

std::string PipelineSchedule::table() const {
  std::string text;
  for (size_t rank = 0; rank < actions_.size(); ++rank) {
    std::vector<std::string> words;
    for (const auto& action : actions_[rank]) words.push_back(to_string(action));
    text += fmt::format("rank {}: {}\n", rank, fmt::join(words, " "));
  }
  return text;
}

PipelineCost PipelineSchedule::cost(double forward_time, double backward_time) const {
  const auto ranks = static_cast<size_t>(sizes_.ranks);
  const int64_t last = stages() - 1;
  std::map<std::tuple<PassKind, int64_t, int64_t>, double> ends;  // of the actions that are done
  const auto end_of = [&](PassKind kind, int64_t stage, int64_t micro_batch) {
    const auto found = ends.find({kind, stage, micro_batch});
    return found == ends.end() ? -1.0 : found->second;
  };
  /// When what an action needs is there; negative if that isn't known yet.
  const auto ready_at = [&](const PipelineAction& action) {
    if (action.kind == PassKind::forward) {
      return action.stage == 0 ? 0.0
                               : end_of(PassKind::forward, action.stage - 1, action.micro_batch);
    }
    return action.stage == last ? end_of(PassKind::forward, last, action.micro_batch)
                                : end_of(PassKind::backward, action.stage + 1, action.micro_batch);
  };
  PipelineCost cost;
  cost.held.resize(ranks);
  cost.messages.resize(ranks);
  std::vector<size_t> next(ranks);
  std::vector<double> free_at(ranks);
  std::vector<int64_t> held(ranks);
  double busy = 0.0;
  bool goes_on = true;
  while (goes_on) {
    goes_on = false;
    for (size_t rank = 0; rank < ranks; ++rank) {
      while (next[rank] < actions_[rank].size()) {
        const auto& action = actions_[rank][next[rank]];
        const double ready = ready_at(action);
        if (ready < 0.0) break;
        const bool is_forward = action.kind == PassKind::forward;
        const double takes = is_forward ? forward_time : backward_time;
        free_at[rank] = std::max(free_at[rank], ready) + takes;
        ends[{action.kind, action.stage, action.micro_batch}] = free_at[rank];
        held[rank] += is_forward ? 1 : -1;
        cost.held[rank] = std::max(cost.held[rank], held[rank]);
        const bool sends = action.stage != (is_forward ? last : 0) && ranks > 1;
        cost.messages[rank] += sends ? 1 : 0;
        busy += takes;
        ++next[rank];
        goes_on = true;
      }
    }
  }
  for (size_t rank = 0; rank < ranks; ++rank) {
    if (next[rank] < actions_[rank].size()) {
      throw ModuleError(fmt::format("the pipeline schedule {} never gets to {} on rank {}", name_,
                                    to_string(actions_[rank][next[rank]]), rank));
    }
    cost.time = std::max(cost.time, free_at[rank]);
  }
  if (cost.time > 0.0) cost.bubble = 1.0 - busy / (cost.time * static_cast<double>(ranks));
  return cost;
}

}  // namespace levin
