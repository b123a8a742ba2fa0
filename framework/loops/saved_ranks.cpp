#include <levin/framework/loops/saved_ranks.h>

namespace levin {

int64_t world_size_of(const StateDict& checkpoint) {
  const Value ranks = checkpoint.child("ranks").values;
  return ranks.contains("world_size") ? ranks.at("world_size").as_int() : 1;
}

int64_t data_ranks_of(const StateDict& checkpoint) {
  const Value ranks = checkpoint.child("ranks").values;
  return ranks.contains("data_ranks") ? ranks.at("data_ranks").as_int() : world_size_of(checkpoint);
}

bool shared_rows(const StateDict& rank) {
  return rank.values.contains("model_rank") && rank.values.at("model_rank").as_int() > 0;
}

}  // namespace levin
