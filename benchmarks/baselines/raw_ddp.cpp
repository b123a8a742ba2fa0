// Trains data parallel with LibTorch alone, by a loop written by hand around c10d's Reducer. Levin
// is compared with it. Each process is one rank; the program that starts it sets RANK, WORLD_SIZE,
// MASTER_ADDR and MASTER_PORT.
//
//   raw_ddp OUTPUT ddp        BATCH STEPS EPOCHS   trains with BATCH rows on each rank
//   raw_ddp OUTPUT alone      BATCH STEPS EPOCHS   the same without the Reducer: no communication
//   raw_ddp OUTPUT all_reduce BYTES STEPS EPOCHS   only sums a tensor over the ranks
//
// Rank 0 writes the seconds of each epoch to OUTPUT, one line for each. The model and the data are
// those of bench_scaling.

#include <torch/torch.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using torch::Tensor;
using Group = c10::intrusive_ptr<c10d::ProcessGroup>;

constexpr double kLearningRate = 1e-3;

struct Arguments {
  std::string output;
  std::string mode;
  int64_t size = 0;
  int64_t steps = 0;
  int64_t epochs = 0;
};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error(std::string("set ") + name);
  return value;
}

Group join(int rank, int size) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(std::stoi(variable("MASTER_PORT")));
  options.isServer = rank == 0;
  options.waitWorkers = false;
  const auto store = c10::make_intrusive<c10d::TCPStore>(variable("MASTER_ADDR"), options);
  const auto gloo_options = c10d::ProcessGroupGloo::Options::create();
  gloo_options->devices.push_back(
      c10d::ProcessGroupGloo::createDeviceForHostname(variable("MASTER_ADDR")));
  auto group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
  group->setBackend(
      c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO,
      c10::make_intrusive<c10d::ProcessGroupGloo>(
          c10::make_intrusive<c10d::PrefixStore>("gloo", store), rank, size, gloo_options));
  group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
  group->setGroupName("raw_ddp");
  return group;
}

std::shared_ptr<c10d::Reducer> make_reducer(const Group& group, const torch::nn::Sequential& net) {
  std::vector<Tensor> parameters = net->parameters();
  std::vector<Tensor> state;
  for (const Tensor& parameter : parameters) state.push_back(parameter.detach());
  c10d::verify_params_across_processes(group, parameters, std::nullopt);
  c10d::broadcast_coalesced(group, state, size_t{250} << 20, 0);
  const std::vector<bool> sparse(parameters.size(), false);
  const auto first = static_cast<size_t>(c10d::kDefaultFirstBucketBytes);
  const auto cap = static_cast<size_t>(c10d::kDefaultBucketBytesCap);
  auto buckets =
      std::get<0>(c10d::compute_bucket_assignment_by_size(parameters, {first, cap}, sparse));
  std::reverse(buckets.begin(), buckets.end());
  std::unordered_map<size_t, std::string> names;
  for (const auto& item : net->named_parameters()) names[names.size()] = item.key();
  return std::make_shared<c10d::Reducer>(
      std::move(parameters), std::move(buckets), group, sparse, static_cast<int64_t>(cap),
      /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/false, std::move(names),
      static_cast<int64_t>(first), /*skip_all_reduce_unused_params=*/false,
      /*use_python_reducer=*/false, std::vector<int64_t>{});
}

// Adam with the fused kernel, which updates parameters and moments in a single pass.
class FusedAdam {
 public:
  explicit FusedAdam(std::vector<Tensor> parameters) : parameters_(std::move(parameters)) {
    for (const Tensor& parameter : parameters_) {
      first_moments_.push_back(torch::zeros_like(parameter));
      second_moments_.push_back(torch::zeros_like(parameter));
      steps_.push_back(torch::zeros({}));
    }
  }
  void step() {
    std::vector<Tensor> gradients;
    for (const Tensor& parameter : parameters_) gradients.push_back(parameter.grad());
    for (Tensor& step : steps_) step.add_(1);
    at::_fused_adam_(parameters_, gradients, first_moments_, second_moments_, {}, steps_,
                     kLearningRate, /*beta1=*/0.9, /*beta2=*/0.999, /*weight_decay=*/0.0,
                     /*eps=*/1e-8, /*amsgrad=*/false, /*maximize=*/false);
    for (const Tensor& parameter : parameters_) parameter.mutable_grad().reset();
  }

 private:
  std::vector<Tensor> parameters_, first_moments_, second_moments_, steps_;
};

// Seconds of each epoch.
std::vector<double> timed(const Arguments& arguments, const std::function<void()>& epoch) {
  std::vector<double> seconds;
  for (int64_t i = 0; i < arguments.epochs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    epoch();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

std::vector<double> train(const Arguments& arguments, const Group& group, int rank) {
  torch::manual_seed(0);
  torch::nn::Sequential net(torch::nn::Linear(784, 512), torch::nn::ReLU(),
                            torch::nn::Linear(512, 512), torch::nn::ReLU(),
                            torch::nn::Linear(512, 10));
  const int64_t rows = arguments.size * arguments.steps;
  torch::manual_seed(rank + 1);
  const Tensor images = torch::rand({rows, 784});
  const Tensor labels = torch::randint(10, {rows}, torch::kLong);
  const auto reducer = arguments.mode == "ddp" ? make_reducer(group, net) : nullptr;
  FusedAdam optimizer(net->parameters());
  return timed(arguments, [&] {
    for (const Tensor& index : torch::randperm(rows).split(arguments.size)) {
      if (reducer) {
        reducer->prepare_for_forward();
        if (reducer->should_rebuild_buckets()) reducer->rebuild_buckets();
      }
      const Tensor logits = net->forward(images.index_select(0, index));
      const Tensor loss = torch::cross_entropy_loss(logits, labels.index_select(0, index));
      if (reducer) reducer->prepare_for_backward({});
      loss.backward();
      optimizer.step();
    }
  });
}

std::vector<double> all_reduce(const Arguments& arguments, const Group& group) {
  std::vector<Tensor> tensors{torch::zeros({(arguments.size + 3) / 4})};
  return timed(arguments, [&] {
    for (int64_t i = 0; i < arguments.steps; ++i) group->allreduce(tensors)->wait();
  });
}

void run(const Arguments& arguments) {
  torch::set_num_threads(1);
  const int rank = std::stoi(variable("RANK"));
  const Group group = join(rank, std::stoi(variable("WORLD_SIZE")));
  std::vector<Tensor> one{torch::zeros({1})};
  group->allreduce(one)->wait();  // all ranks start together
  const auto seconds =
      arguments.mode == "all_reduce" ? all_reduce(arguments, group) : train(arguments, group, rank);
  group->allreduce(one)->wait();  // and wait until all have finished
  if (rank != 0) return;
  std::ofstream file(arguments.output);
  for (const double value : seconds) file << value << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 6) throw std::invalid_argument("see the head of raw_ddp.cpp for the arguments");
    run({argv[1], argv[2], std::stoll(argv[3]), std::stoll(argv[4]), std::stoll(argv[5])});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "raw_ddp: %s\n", error.what());
    return 1;
  }
}
