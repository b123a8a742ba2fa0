#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/parameter_server/parameter_server.h>
#include <levin/framework/parameter_server/server_settings.h>
#include <levin/framework/profiling/communication.h>
#include <levin/framework/strategies/group_ranks.h>
#include <levin/framework/strategies/server_layout.h>
#include <levin/framework/strategies/server_share.h>

namespace levin {

class Profiler;

/// What ServedSteps needs to know besides the parameters.
struct ServedStepsOptions {
  ServerSettings servers{};
  /// The address of this host at which a server of this rank listens.
  std::string host = "127.0.0.1";
  /// Whether losses may leave out parameters: see TrainerOptions::find_unused_parameters.
  bool find_unused_parameters = false;
  /// Gives all ranks rank 0's buffers, a collective: called after each step if ranks go in step,
  /// and otherwise when they meet. Empty: each rank keeps its own.
  std::function<void()> send_buffers{};
};

/// A rank's steps by parameter servers, of which each of the first ranks has one. The rank pushes
/// its gradients, and pulls the weights that the servers make of the gradients of all ranks.
/// ParameterServerStrategy owns it, and ServedOptimizer calls it.
///
///     ServedSteps steps(ranks, heartbeat, names, parameters, options);
///     steps.serve(optimizer, fixed);            // once, before the first step
///     for (...) {
///       steps.begin();                          // before backward
///       ...
///       steps.count(rows);
///       steps.step(optimizer->groups());        // push and pull
///     }
///     steps.meet();                             // before the module is evaluated or saved
///
/// With ssp and asp, ranks have different weights between two steps. In a meeting all of them wait
/// until the others have made as many steps, and pull the same weights. Whatever changes weights
/// between two steps, such as a callback that loads some, has to do so on all ranks; these then
/// meet, and the servers go on from the new weights. All calls come from the thread that trains.
class ServedSteps {
 public:
  /// Lays out `parameters`, those of the module that are trained, in flat buffers, until `end`.
  /// Throws ModuleError for parameters of complex numbers. The references must live until `end`.
  ServedSteps(GroupRanks& ranks, Heartbeat& heartbeat, std::vector<std::string> names,
              std::vector<torch::Tensor> parameters, ServedStepsOptions options);
  ~ServedSteps();
  ServedSteps(const ServedSteps&) = delete;
  ServedSteps& operator=(const ServedSteps&) = delete;

  bool are_in_step() const { return options_.servers.mode == ServerSettings::Mode::bsp; }
  bool are_served() const { return optimizer_ != nullptr; }

  /// Lets the servers step by that optimizer, of which this rank's server gets its slices. `fixed`
  /// are the parameters of the module that aren't trained. Throws what `slices_of` and
  /// Optimizer::shard do.
  void serve(std::shared_ptr<Optimizer> optimizer, const std::vector<torch::Tensor>& fixed);
  /// A step begins. A collective before the first step, and in the first one after a meeting.
  void begin();
  /// This rank has gradients of so many rows, which are scaled for as many unless `scale_for` says
  /// otherwise. Without this call they are those of the whole step.
  void count(double rows) {
    is_counted_ = true;
    rows_ = push_.full_rows = rows;
  }
  void scale_for(double full_rows) { push_.full_rows = full_rows; }
  /// Lets the servers clip the gradients of this step. Returns a scalar that has their norm when
  /// the step is over.
  torch::Tensor clip(double max_norm);
  /// In step: takes part in the step of the others without rows of this rank. Returns the rows of
  /// all ranks.
  double step_without_rows();
  /// Pushes the gradients and pulls the weights. `groups` are those of the optimizer.
  void step(const std::vector<ParameterGroup>& groups);
  /// Makes the weights of all ranks the same. A collective, unless they are.
  void meet();
  /// Forgets that steps were made, because the optimizer's state and the weights are replaced on
  /// all ranks.
  void forget() { is_open_ = false; }
  /// Ends this rank's server and its connections, for which all ranks have to be done with their
  /// steps. No step may follow.
  void disconnect();
  /// The same, and gives the parameters memory of their own.
  void end();

  void set_profiler(Profiler* profiler) { profiler_ = profiler; }
  /// The bytes that the connections of this rank's client and server have sent, also to each other:
  /// gradients and weights, with their heads.
  int64_t sent_bytes() const;
  /// By how many steps at most another rank was behind the weights that this rank has pulled, since
  /// the last call.
  int64_t take_staleness() { return std::exchange(staleness_, 0); }

 private:
  bool has_server() const { return ranks_.rank() < options_.servers.servers; }
  void connect();
  void serve_here(const std::string& token);
  bool are_changed() const;
  void pack();
  void exchange();
  void push();
  void pull();
  void finish();
  void note_versions();
  void read_flags();
  void send_buffers();

  GroupRanks& ranks_;
  Heartbeat& heartbeat_;
  std::vector<std::string> names_;
  ServedStepsOptions options_;
  FlatParameters flat_;
  Profiler* profiler_ = nullptr;
  std::shared_ptr<Optimizer> optimizer_;
  std::unique_ptr<ServerLayout> layout_;
  std::unique_ptr<ServerShare> share_;
  torch::Tensor messages_;  // [servers, width]: gradients, then weights
  std::unique_ptr<ParameterServer> server_;
  std::unique_ptr<ParameterClient> client_;

  double rows_ = 0.0;  // of this rank's gradients
  ServerPush push_;
  ServerPull pull_;
  ServerAnswer answer_;
  torch::Tensor norm_;
  bool is_counted_ = false;
  bool has_exchanged_ = false;     // in this step, without rows
  bool is_open_ = false;           // ranks have made steps since they met
  int64_t steps_ = 0;              // that this rank has pushed
  std::vector<int64_t> versions_;  // of the parameters after the last pull
  Reduction reduction_;
  int64_t ended_bytes_ = 0;  // that connections had sent when they ended
  int64_t staleness_ = 0;
  bool has_ended_ = false;
};

}  // namespace levin
