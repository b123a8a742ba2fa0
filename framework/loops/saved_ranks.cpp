#include <levin/framework/loops/saved_ranks.h>

#include <levin/framework/launch/device_mesh.h>

namespace levin {
namespace {

int64_t tensor_size_in(const Strategy& strategy) {
  return strategy.mesh() == nullptr ? 1 : strategy.mesh()->sizes().tensor;
}

}  // namespace

Value describe_ranks(Strategy& strategy, bool alone) {
  Value values;
  values["world_size"] = alone ? 1 : strategy.ranks().size();
  values["data_ranks"] = alone ? 1 : strategy.data_ranks().size();
  if (!alone && tensor_size_in(strategy) > 1) values["tensor_size"] = tensor_size_in(strategy);
  return values;
}

int64_t world_size_of(const StateDict& checkpoint) {
  const Value ranks = checkpoint.child("ranks").values;
  return ranks.contains("world_size") ? ranks.at("world_size").as_int() : 1;
}

int64_t data_ranks_of(const StateDict& checkpoint) {
  const Value ranks = checkpoint.child("ranks").values;
  return ranks.contains("data_ranks") ? ranks.at("data_ranks").as_int() : world_size_of(checkpoint);
}

int64_t tensor_size_of(const StateDict& checkpoint) {
  const Value ranks = checkpoint.child("ranks").values;
  return ranks.contains("tensor_size") ? ranks.at("tensor_size").as_int() : 1;
}

bool has_same_ranks(const StateDict& checkpoint, Strategy& strategy) {
  return world_size_of(checkpoint) == strategy.ranks().size() &&
         data_ranks_of(checkpoint) == strategy.data_ranks().size() &&
         tensor_size_of(checkpoint) == tensor_size_in(strategy);
}

bool shared_rows(const StateDict& rank) {
  return rank.values.contains("model_rank") && rank.values.at("model_rank").as_int() > 0;
}

}  // namespace levin
