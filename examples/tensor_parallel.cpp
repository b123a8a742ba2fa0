// Trains a perceptron on 4 ranks: two tensor groups, each of which divides the matrices among its
// two ranks, share the rows of each batch. The checkpoint is then loaded without parallel layers.
//   tensor_parallel                                        starts the ranks itself
//   torchrun --nproc-per-node 4 --no-python tensor_parallel
//
// Succeeds if the loaded model classifies at least 93 % of the test digits.
#include <levin/levin.h>

#include <levin/framework/launch/launcher.h>

#include <cstdio>
#include <memory>

/// 64-32-10, whose hidden features are divided among the ranks of the group.
struct ParallelNet : levin::Module {
  explicit ParallelNet(const std::shared_ptr<levin::ProcessGroup>& group)
      : up(levin::ColumnLinearOptions{.in_features = 64, .out_features = 32}, group),
        down(levin::RowLinearOptions{.in_features = 32, .out_features = 10}, group) {
    register_module("up", up);
    register_module("down", down);
  }
  torch::Tensor forward(const torch::Tensor& input) { return down(torch::relu(up(input))); }
  levin::ColumnLinear up;
  levin::RowLinear down;
};

/// The same in one process, with LibTorch's own layers.
struct Net : levin::Module {
  Net() {
    register_module("up", up);
    register_module("down", down);
  }
  torch::Tensor forward(const torch::Tensor& input) { return down(torch::relu(up(input))); }
  torch::nn::Linear up{64, 32};
  torch::nn::Linear down{32, 10};
};

double test_accuracy(levin::DigitsDataModule& data, Net& net) {
  const torch::NoGradGuard no_grad;
  levin::Reader test = data.test_dataloader().front().open();
  double right = 0.0;
  double rows = 0.0;
  for (levin::Batch batch; test.next(batch);) {
    right += net.forward(batch.input()).argmax(1).eq(batch.target()).sum().item<double>();
    rows += static_cast<double>(batch.rows());
  }
  return right / rows;
}

int main() try {
  const auto cluster = levin::find_cluster();
  if (!cluster) return levin::launch({.processes = 4});

  levin::ProcessGroup all(*cluster, at::kCPU);
  const auto mesh = levin::DeviceMesh::of(all.world_size(), {.tensor = 2});
  const auto tensor = std::make_shared<levin::ProcessGroup>(
      all, mesh.group_of(levin::MeshAxis::tensor, all.rank()), "tensor");
  levin::ProcessGroup data_group(all, mesh.group_of(levin::MeshAxis::data, all.rank()), "data");
  const auto hosts = all.all_gather_text("node " + std::to_string(cluster->node_rank));
  if (all.rank() == 0) std::printf("%s\n", mesh.table(hosts).c_str());

  levin::seed_everything(42);  // the same weights on all ranks
  levin::DigitsDataModule data({.batch_size = 32, .seed = 1});
  data.setup(levin::Stage::fit);
  ParallelNet model(tensor);
  levin::Adam optimizer(model.parameters(), {.learning_rate = 3e-3});
  const levin::DataLoaders train = data.train_dataloader();
  levin::Reader reader = train.front().open(0, 0, {data_group.rank(), data_group.world_size()});
  for (int64_t epoch = 0; epoch < 10; ++epoch) {
    reader.seek(epoch);
    for (levin::Batch batch; reader.next(batch);) {
      auto rows = torch::tensor(static_cast<double>(batch.rows()));
      data_group.all_reduce(rows);
      optimizer.zero_grad();
      const auto losses = torch::cross_entropy_loss(model.forward(batch.input()), batch.target(),
                                                    {}, at::Reduction::Sum);
      (losses / rows).backward();
      for (auto& parameter : model.parameters()) {
        data_group.all_reduce(parameter.mutable_grad());
      }
      levin::clip_grad_norm_of_shards(model, 5.0, *tensor);
      optimizer.step();
    }
  }

  // A checkpoint of the whole model, which one process can load.
  const auto whole = levin::gather_shards(model.state_dict(), levin::find_shards(model), *tensor);
  if (all.rank() != 0) return 0;
  levin::save_checkpoint("tensor_parallel.ckpt", whole);
  Net net;
  net.load_state_dict(levin::load_checkpoint("tensor_parallel.ckpt"));
  const double accuracy = test_accuracy(data, net);
  std::printf("test accuracy %.4f\n", accuracy);
  return accuracy >= 0.93 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
