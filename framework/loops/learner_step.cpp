#include <levin/framework/loops/learner_step.h>

#include <string>
#include <string_view>
#include <utility>

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/strategies/group_ranks.h>

namespace levin {
namespace {

/// The rows of each rank after which ranks that share a learner's state exchange flags. It learns
/// from so many in about 30 ms, and the exchange takes 0.1 ms.
constexpr int64_t kRowsBetweenFlags = 1 << 16;
constexpr double kMostMemoryOfLearners = 0.5;  // of the host's

}  // namespace

LearnerStep::LearnerStep(LoopParts parts, OnlineLearner& learner)
    : parts_(parts), learner_(learner) {
  begin();
}

GroupRanks* LearnerStep::group_ranks() const {
  return dynamic_cast<GroupRanks*>(&parts_.strategy.ranks());
}

void LearnerStep::begin() {
  const auto refuse = [this](std::string_view what, std::string_view hint) {
    throw ConfigError::conflict(fmt::format("{} with the optimizer {}", what, learner_.name()),
                                hint);
  };
  if (parts_.options.gradient_clip_val.value_or(0.0) != 0.0) {
    refuse(fmt::format("gradient_clip_val = {}", *parts_.options.gradient_clip_val),
           "leave it out: this optimizer has no gradients to clip");
  }
  const auto loss = parts_.module.linear_loss();
  if (!loss) {
    refuse(fmt::format("the module {}", parts_.module.class_name()),
           "it trains linear models of one output, which say so by Module::linear_loss, such as "
           "LogisticRegression and LinearRegression, but not their subclasses; use another "
           "optimizer, for example Adagrad");
  }
  learner_.begin(*loss);
  share();
}

/// Lets the ranks of a host learn into one state, if the learner asks for that.
void LearnerStep::share() {
  GroupRanks* ranks = group_ranks();
  if (ranks == nullptr || ranks->size() == 1 || !learner_.needs_sharing()) return;
  const auto refuse = [this](const std::string& what, const std::string& hint) {
    throw ConfigError::conflict(
        fmt::format("hogwild of the optimizer {} with {}", learner_.name(), what), hint);
  };
  const auto* cluster = parts_.strategy.cluster();
  if (cluster != nullptr && cluster->num_nodes > 1) {
    refuse(fmt::format("ranks on {} hosts", cluster->num_nodes),
           "its ranks learn into memory that they share: use one host, or leave out hogwild; ranks "
           "then average their weights");
  }
  if (learner_.average_every() > 0) {
    refuse(
        fmt::format("average_every = {} and {} ranks", learner_.average_every(), ranks->size()),
        "its ranks share their weights, so there is nothing to average: leave out average_every or "
        "hogwild");
  }
  auto memory = ranks->shared_memory(learner_.shared_bytes(), kMostMemoryOfLearners);
  if (memory == nullptr) {
    refuse(fmt::format("{} ranks, which can't share {} bytes of memory", ranks->size(),
                       learner_.shared_bytes()),
           "they have to run in one container, as one user, and the memory has to be less than "
           "half of the host's; or leave out hogwild, and ranks average their weights");
  }
  learner_.share(std::move(memory), *ranks);
}

void LearnerStep::run(const Batch& batch, StepControl& step, int64_t global_rows) {
  const ProfilePart profiled(parts_.profiler, Part::optimizer);
  loss_.reset();
  const double loss = learner_.learn(batch);  // without rows, too: ranks may have to meet
  if (batch.rows() > 0) {
    step.log("train_loss", loss, {.prog_bar = true});
    loss_ = at::scalar_tensor(loss, at::kDouble);
  }
  ++batches_alone_;
  exchange_flags(global_rows);
}

void LearnerStep::exchange_flags(int64_t global_rows) {
  GroupRanks* ranks = group_ranks();
  if (ranks == nullptr) return;
  rows_alone_ += global_rows;
  const bool is_shared = learner_.needs_sharing() && ranks->size() > 1;
  if (is_shared && rows_alone_ < kRowsBetweenFlags * ranks->size()) {
    return ranks->note_progress();
  }
  rows_alone_ = 0;
  ranks->exchange_flags();
  if (batches_alone_ == learner_.average_every()) {
    complete();
    learner_.complete_parameters();
  }
}

void LearnerStep::complete() {
  if (batches_alone_ == 0) return;
  learner_.average(parts_.strategy.ranks());
  if (GroupRanks* ranks = group_ranks()) {
    if (rows_alone_ > 0) ranks->exchange_flags();
    rows_alone_ = 0;
  }
  batches_alone_ = 0;
}

}  // namespace levin
