#include <levin/framework/launch/device_mesh.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

void require_sizes(const MeshSizes& sizes) {
  const std::array<std::pair<const char*, int64_t>, 3> all{{{"pipeline_size", sizes.pipeline},
                                                            {"data_size", sizes.data},
                                                            {"tensor_size", sizes.tensor}}};
  for (const auto& [name, size] : all) {
    if (size < 1)
      throw ConfigError::invalid_value(name, std::to_string(size), "must be at least 1");
  }
}

void require_hosts(const std::vector<std::string>& hosts, int64_t ranks) {
  if (static_cast<int64_t>(hosts.size()) == ranks) return;
  throw ConfigError::conflict(
      fmt::format("the hosts of {} ranks for a device mesh of {} ranks", hosts.size(), ranks),
      "give the host of every rank");
}

int64_t& coordinate(MeshPlace& place, MeshAxis axis) {
  switch (axis) {
    case MeshAxis::pipeline:
      return place.pipeline;
    case MeshAxis::data:
      return place.data;
    default:
      return place.tensor;
  }
}

/// Ranks that are consecutive as "0-3", others as "0, 2, 4".
std::string range_text(const std::vector<int64_t>& ranks) {
  if (ranks.size() < 2) return fmt::format("{}", fmt::join(ranks, ", "));
  const bool in_a_row = ranks.back() - ranks.front() == static_cast<int64_t>(ranks.size()) - 1;
  return in_a_row ? fmt::format("{}-{}", ranks.front(), ranks.back())
                  : fmt::format("{}", fmt::join(ranks, ", "));
}

/// The hosts of `ranks`, in their order, each once, with its ranks if there are several.
std::string hosts_text(const std::vector<int64_t>& ranks, const std::vector<std::string>& hosts) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> found;
  for (const int64_t rank : ranks) {
    const auto& host = hosts[static_cast<size_t>(rank)];
    const auto same = std::find_if(found.begin(), found.end(),
                                   [&](const auto& entry) { return entry.first == host; });
    if (same == found.end()) {
      found.push_back({host, {rank}});
    } else {
      same->second.push_back(rank);
    }
  }
  if (found.size() == 1) return found.front().first;
  std::vector<std::string> texts;
  for (const auto& [host, own] : found) {
    texts.push_back(
        fmt::format("{} ({} {})", host, own.size() == 1 ? "rank" : "ranks", range_text(own)));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

bool have_one_host(const std::vector<int64_t>& ranks, const std::vector<std::string>& hosts) {
  return std::all_of(ranks.begin(), ranks.end(), [&](int64_t rank) {
    return hosts[static_cast<size_t>(rank)] == hosts[static_cast<size_t>(ranks.front())];
  });
}

}  // namespace

std::string name_of(MeshAxis axis) {
  switch (axis) {
    case MeshAxis::pipeline:
      return "pipeline";
    case MeshAxis::data:
      return "data";
    default:
      return "tensor";
  }
}

DeviceMesh::DeviceMesh(MeshSizes sizes) : sizes_(sizes) { require_sizes(sizes_); }

DeviceMesh DeviceMesh::of(int64_t world_size, MeshSizes sizes) {
  sizes.data = 1;
  require_sizes(sizes);
  const int64_t replica = sizes.pipeline * sizes.tensor;
  if (world_size < 1 || world_size % replica != 0) {
    const std::string product = sizes.pipeline == 1
                                    ? fmt::format("tensor_size = {}", sizes.tensor)
                                    : fmt::format("pipeline_size * tensor_size = {} * {} = {}",
                                                  sizes.pipeline, sizes.tensor, replica);
    throw ConfigError::conflict(
        fmt::format("{} with {} {}", product, world_size, world_size == 1 ? "rank" : "ranks"),
        fmt::format("train on a multiple of {} devices, or change the size", replica));
  }
  sizes.data = world_size / replica;
  return DeviceMesh(sizes);
}

int64_t DeviceMesh::size(MeshAxis axis) const {
  MeshPlace sizes{sizes_.pipeline, sizes_.data, sizes_.tensor};
  return coordinate(sizes, axis);
}

MeshPlace DeviceMesh::place_of(int64_t rank) const {
  return {.pipeline = rank / (sizes_.tensor * sizes_.data),
          .data = rank / sizes_.tensor % sizes_.data,
          .tensor = rank % sizes_.tensor};
}

int64_t DeviceMesh::rank_at(const MeshPlace& place) const {
  return place.tensor + sizes_.tensor * (place.data + sizes_.data * place.pipeline);
}

std::vector<int64_t> DeviceMesh::group_of(MeshAxis axis, int64_t rank) const {
  MeshPlace place = place_of(rank);
  std::vector<int64_t> ranks;
  for (int64_t i = 0; i < size(axis); ++i) {
    coordinate(place, axis) = i;
    ranks.push_back(rank_at(place));
  }
  return ranks;
}

std::vector<std::vector<int64_t>> DeviceMesh::groups(MeshAxis axis) const {
  std::vector<std::vector<int64_t>> all;
  for (int64_t rank = 0; rank < world_size(); ++rank) {
    auto group = group_of(axis, rank);
    if (group.front() == rank) all.push_back(std::move(group));
  }
  return all;
}

std::vector<int64_t> DeviceMesh::replica_of(int64_t rank) const {
  const MeshPlace own = place_of(rank);
  std::vector<int64_t> ranks;
  for (int64_t other = 0; other < world_size(); ++other) {
    if (place_of(other).data == own.data) ranks.push_back(other);
  }
  return ranks;
}

std::string DeviceMesh::table(const std::vector<std::string>& hosts) const {
  require_hosts(hosts, world_size());
  const auto groups_of_ranks = groups(MeshAxis::tensor);
  size_t width = std::string("ranks").size();
  for (const auto& ranks : groups_of_ranks) width = std::max(width, range_text(ranks).size());
  std::string text = fmt::format("pipeline  data  {:>{}}  host\n", "ranks", width);
  for (const auto& ranks : groups_of_ranks) {
    const MeshPlace place = place_of(ranks.front());
    text += fmt::format("{:>8}  {:>4}  {:>{}}  {}\n", place.pipeline, place.data, range_text(ranks),
                        width, hosts_text(ranks, hosts));
  }
  return text;
}

std::string DeviceMesh::warning(const std::vector<std::string>& hosts) const {
  require_hosts(hosts, world_size());
  for (const auto& ranks : groups(MeshAxis::tensor)) {
    if (have_one_host(ranks, hosts)) continue;
    return fmt::format(
        "the tensor group of ranks {} is spread over {}: these ranks wait for the network in every "
        "layer; choose a tensor_size that divides the number of ranks of a host, and let the "
        "launcher give consecutive ranks to a host",
        range_text(ranks), hosts_text(ranks, hosts));
  }
  return {};
}

}  // namespace levin
