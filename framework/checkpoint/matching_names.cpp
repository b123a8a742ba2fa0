#include <levin/framework/checkpoint/matching_names.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// The module's name of each tensor, by the file's name.
using NewNames = std::map<std::string, std::string, std::less<>>;

NewNames names_behind(const std::string& prefix, const StateDict& own) {
  NewNames names;
  for (const auto& [name, tensor] : own.tensors) names.emplace(prefix + name, name);
  return names;
}

/// The prefixes behind which `loaded` has all names of the module.
std::vector<std::string> complete_prefixes(const StateDict& own, const StateDict& loaded) {
  const std::string end = "." + own.tensors.begin()->first;
  std::vector<std::string> prefixes;
  for (const auto& [name, tensor] : loaded.tensors) {
    if (!name.ends_with(end)) continue;
    const std::string prefix = name.substr(0, name.size() - end.size() + 1);
    const auto wanted = names_behind(prefix, own);
    const bool is_complete = std::all_of(wanted.begin(), wanted.end(), [&](const auto& item) {
      return loaded.tensors.contains(item.first);
    });
    if (is_complete) prefixes.push_back(prefix);
  }
  return prefixes;
}

/// What all names begin with, up to and with a dot.
std::string common_prefix(const StateDict& state) {
  const std::string& first = state.tensors.begin()->first;
  const std::string& last = state.tensors.rbegin()->first;  // sorted, so the others lie between
  const auto end = std::mismatch(first.begin(), first.end(), last.begin(), last.end()).first;
  const std::string common(first.begin(), end);
  const size_t dot = common.rfind('.');
  return dot == std::string::npos ? std::string() : common.substr(0, dot + 1);
}

/// The new names if those of both sides are the same behind what all of a side begin with.
std::optional<NewNames> by_only_layer(const StateDict& own, const StateDict& loaded) {
  if (own.tensors.size() != loaded.tensors.size()) return {};
  const std::string mine = common_prefix(own);
  const std::string theirs = common_prefix(loaded);
  NewNames names;
  for (const auto& [name, tensor] : own.tensors) {
    const std::string other = theirs + name.substr(mine.size());
    if (!loaded.tensors.contains(other)) return {};
    names.emplace(other, name);
  }
  return names;
}

/// Names that differ in one number: for each of its values, what follows it and the whole name.
using Numbered = std::map<int64_t, std::map<std::string, std::string>>;

/// All ways to see names as numbered, by what comes before the number.
std::map<std::string, Numbered> names_by_number(const StateDict& state) {
  constexpr size_t kMostDigits = 9;
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::map<std::string, Numbered> result;
  for (const auto& [name, tensor] : state.tensors) {
    for (size_t start = 0; start < name.size(); ++start) {
      if (!is_digit(name[start])) continue;
      size_t end = start;
      while (end < name.size() && is_digit(name[end])) ++end;
      if (end - start <= kMostDigits) {
        const int64_t number = std::stoll(name.substr(start, end - start));
        result[name.substr(0, start)][number][name.substr(end)] = name;
      }
      start = end;
    }
  }
  return result;
}

/// The new names if the k-th layer of one side has the tensors of the k-th layer of the other.
std::optional<NewNames> by_order(const Numbered& own, const Numbered& loaded) {
  if (own.size() != loaded.size()) return {};
  NewNames names;
  for (auto mine = own.begin(), theirs = loaded.begin(); mine != own.end(); ++mine, ++theirs) {
    if (mine->second.size() != theirs->second.size()) return {};
    for (const auto& [rest, name] : mine->second) {
      const auto found = theirs->second.find(rest);
      if (found == theirs->second.end()) return {};
      names.emplace(found->second, name);
    }
  }
  return names;
}

[[noreturn]] void refuse_several(const std::vector<std::string>& prefixes) {
  throw CheckpointError(
      fmt::format("it has weights with the module's names several times, behind '{}'; load those "
                  "you want by module.load_state_dict(module_weights(load_checkpoint(path))"
                  ".child(\"{}\"))",
                  shortened(fmt::format("{}", fmt::join(prefixes, "' and '"))),
                  shortened(prefixes.front().substr(0, prefixes.front().size() - 1))));
}

/// The new names of a module whose layers are numbered.
std::optional<NewNames> by_number(const StateDict& own, const StateDict& loaded) {
  const auto mine = names_by_number(own);
  const auto theirs = names_by_number(loaded);
  std::optional<NewNames> found;
  std::vector<std::string> prefixes;
  for (const auto& [before, layers] : mine) {
    size_t tensors = 0;
    for (const auto& [number, layer] : layers) tensors += layer.size();
    if (tensors != own.tensors.size()) continue;
    for (const auto& [other, candidates] : theirs) {
      auto names = by_order(layers, candidates);
      if (!names) continue;
      found = std::move(names);
      prefixes.push_back(other);
    }
    break;
  }
  if (prefixes.size() > 1) refuse_several(prefixes);
  return found;
}

MatchedWeights with_new_names(const StateDict& loaded, const NewNames& names,
                              const std::string& prefix) {
  MatchedWeights result;
  for (const auto& [name, tensor] : loaded.tensors) {
    const auto found = names.find(name);
    if (found != names.end()) {
      result.weights.tensors.emplace(found->second, tensor);
    } else if (!prefix.empty() && name.starts_with(prefix)) {
      // The module doesn't know this name, and load_state_dict says so.
      result.weights.tensors.emplace(name.substr(prefix.size()), tensor);
    } else {
      result.others.push_back(name);
    }
  }
  return result;
}

}  // namespace

MatchedWeights match_names(const StateDict& own, const StateDict& loaded) {
  const auto has = [&](const auto& item) { return loaded.tensors.contains(item.first); };
  if (own.tensors.empty() || loaded.tensors.empty() ||
      std::all_of(own.tensors.begin(), own.tensors.end(), has)) {
    return {loaded, {}};
  }
  const auto prefixes = complete_prefixes(own, loaded);
  if (prefixes.size() > 1) refuse_several(prefixes);
  if (!prefixes.empty()) {
    return with_new_names(loaded, names_behind(prefixes.front(), own), prefixes.front());
  }
  if (const auto names = by_only_layer(own, loaded)) return with_new_names(loaded, *names, "");
  if (const auto names = by_number(own, loaded)) return with_new_names(loaded, *names, "");
  return {loaded, {}};
}

}  // namespace levin
