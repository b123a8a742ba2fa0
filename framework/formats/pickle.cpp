#include <levin/framework/formats/pickle.h>

#include <bit>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin::pickle {
namespace {

constexpr size_t kLongestPickle = size_t{64} << 20;
constexpr size_t kMostNodes = 4'000'000;
constexpr std::string_view kOrderedDict = "collections.OrderedDict";

/// An opcode for a value whose size comes first, as a number of `width` bytes.
struct Sized {
  unsigned char opcode;
  size_t width;
  Kind kind;
};

constexpr Sized kSized[] = {
    {'X', 4, Kind::text},     {0x8c, 1, Kind::text},    {0x8d, 8, Kind::text},
    {'U', 1, Kind::text},     {'T', 4, Kind::text},     {'C', 1, Kind::bytes},
    {'B', 4, Kind::bytes},    {0x8e, 8, Kind::bytes},   {0x96, 8, Kind::bytes},
    {0x8a, 1, Kind::integer}, {0x8b, 4, Kind::integer},
};

/// The stack machine. A number on the stack is that of a node.
class Machine {
 public:
  Machine(std::span<const std::byte> bytes, std::string_view name) : bytes_(bytes), name_(name) {}

  Graph run() {
    if (bytes_.size() > kLongestPickle) fail("it is longer than 64 MiB");
    while (true) {
      const auto opcode = static_cast<unsigned char>(number(1));
      if (opcode == '.') break;
      if (!push_plain(opcode) && !push_sized(opcode) && !change_stack(opcode) &&
          !build_object(opcode)) {
        fail(fmt::format("it has the unknown opcode 0x{:02x}", opcode));
      }
    }
    graph_.root = pop();
    return std::move(graph_);
  }

 private:
  [[noreturn]] void fail(std::string_view reason) const {
    throw CheckpointError::corrupt(
        name_, fmt::format("its pickle can't be read at byte {}: {}", place_, reason));
  }

  std::string_view take(uint64_t size) {
    if (size > bytes_.size() - place_) fail("it ends in the middle of a value");
    if (size == 0) return {};
    const auto* start = reinterpret_cast<const char*>(bytes_.data()) + place_;
    place_ += size;
    return {start, static_cast<size_t>(size)};
  }

  uint64_t number(size_t size) {
    uint64_t value = 0;
    const auto text = take(size);
    for (size_t i = 0; i < size; ++i) {
      value |= static_cast<uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
    }
    return value;
  }

  std::string_view line() {
    const auto* start = reinterpret_cast<const char*>(bytes_.data()) + place_;
    const std::string_view rest(start, bytes_.size() - place_);
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) fail("it ends in the middle of a name");
    place_ += end + 1;
    return rest.substr(0, end);
  }

  void push(Node node) {
    // Without these limits, a small file could take much memory.
    text_size_ += node.text.size();
    if (graph_.nodes.size() >= kMostNodes) fail("it has more than 4 million values");
    if (text_size_ / 4 > bytes_.size() + 1000) fail("it repeats the names of classes too often");
    stack_.push_back(static_cast<uint32_t>(graph_.nodes.size()));
    graph_.nodes.push_back(std::move(node));
  }

  /// The lowest place of the stack that the present mark lets be used.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  uint32_t pop() {
    if (stack_.size() <= floor()) fail("a value is missing on its stack");
    const uint32_t top = stack_.back();
    stack_.pop_back();
    return top;
  }

  Node& top() {
    if (stack_.size() <= floor()) fail("a value is missing on its stack");
    return graph_.nodes[stack_.back()];
  }

  /// The values above the last mark, which is removed with them.
  std::vector<uint32_t> pop_to_mark() {
    if (marks_.empty()) fail("a mark is missing on its stack");
    const auto start = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<uint32_t> items(start, stack_.end());
    stack_.erase(start, stack_.end());
    marks_.pop_back();
    return items;
  }

  void push_text(Kind kind, std::string_view text) {
    push({.kind = kind, .text = std::string(text)});
  }

  void push_integer(int64_t value) { push({.kind = Kind::integer, .integer = value}); }

  /// A little-endian number in two's complement.
  void push_long(std::string_view digits) {
    Node node{.kind = Kind::integer};
    if (digits.size() > 8) {
      node.text = "0x";
      for (size_t i = digits.size(); i-- > 0;) {
        node.text += fmt::format("{:02x}", static_cast<unsigned char>(digits[i]));
      }
    } else if (!digits.empty()) {
      const bool is_negative = (static_cast<unsigned char>(digits.back()) & 0x80) != 0;
      uint64_t value = is_negative ? ~uint64_t{0} : 0;
      for (size_t i = digits.size(); i-- > 0;) {
        value = (value << 8) | static_cast<unsigned char>(digits[i]);
      }
      node.integer = static_cast<int64_t>(value);
    }
    push(std::move(node));
  }

  /// Values of a fixed size.
  bool push_plain(unsigned char opcode) {
    switch (opcode) {
      case 'N':
        push({});
        return true;
      case 0x88:
        push({.kind = Kind::boolean, .integer = 1});
        return true;
      case 0x89:
        push({.kind = Kind::boolean});
        return true;
      case 'J':
        push_integer(static_cast<int32_t>(number(4)));
        return true;
      case 'K':
        push_integer(static_cast<int64_t>(number(1)));
        return true;
      case 'M':
        push_integer(static_cast<int64_t>(number(2)));
        return true;
      case ')':
        push({.kind = Kind::tuple});
        return true;
      case ']':
        push({.kind = Kind::list});
        return true;
      case '}':
        push({.kind = Kind::dict});
        return true;
      case 0x8f:
        push({.kind = Kind::set});
        return true;
      case 'G': {
        uint64_t bits = 0;
        for (int i = 0; i < 8; ++i) bits = (bits << 8) | number(1);
        push({.kind = Kind::real, .real = std::bit_cast<double>(bits)});
        return true;
      }
      default:
        return false;
    }
  }

  bool push_sized(unsigned char opcode) {
    for (const auto& known : kSized) {
      if (known.opcode != opcode) continue;
      const auto text = take(number(known.width));
      if (known.kind == Kind::integer) {
        push_long(text);
      } else {
        push_text(known.kind, text);
      }
      return true;
    }
    return false;
  }

  void remember(uint64_t key) {
    top();
    memo_[key] = stack_.back();
  }

  void recall(uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) fail("it refers to a value that isn't there");
    stack_.push_back(found->second);
  }

  /// What moves values without making new ones.
  bool change_stack(unsigned char opcode) {
    switch (opcode) {
      case 0x80:
        take(1);
        return true;  // the protocol's number
      case 0x95:
        take(8);
        return true;  // a frame's length
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case '0':
        pop();
        return true;
      case '1':
        pop_to_mark();
        return true;
      case '2':
        top();
        stack_.push_back(stack_.back());
        return true;
      case 'q':
        remember(number(1));
        return true;
      case 'r':
        remember(number(4));
        return true;
      case 0x94:
        remember(memo_.size());
        return true;
      case 'h':
        recall(number(1));
        return true;
      case 'j':
        recall(number(4));
        return true;
      default:
        return false;
    }
  }

  void push_tuple(size_t size) {
    std::vector<uint32_t> items(size);
    for (size_t i = size; i-- > 0;) items[i] = pop();
    push({.kind = Kind::tuple, .items = std::move(items)});
  }

  /// Adds members to the list, set or dict that is on top. Objects of unknown classes stay as they
  /// are.
  void extend(const std::vector<uint32_t>& members, bool in_pairs) {
    if (in_pairs && members.size() % 2 != 0) fail("a key has no value");
    Node& target = top();
    const bool takes = in_pairs ? target.kind == Kind::dict
                                : target.kind == Kind::list || target.kind == Kind::set;
    if (takes) {
      target.items.insert(target.items.end(), members.begin(), members.end());
    } else if (target.kind != Kind::call) {
      fail("members are added to what has none");
    }
  }

  void push_call(uint32_t function, uint32_t arguments) {
    const Node& called = graph_.nodes[function];
    const bool is_empty = graph_.nodes[arguments].items.empty();
    if (called.kind == Kind::global && called.text == kOrderedDict && is_empty) {
      return push({.kind = Kind::dict});
    }
    push({.kind = Kind::call, .items = {function, arguments}});
  }

  void push_global(std::string_view module, std::string_view name) {
    push_text(Kind::global, fmt::format("{}.{}", module, name));
  }

  /// A global whose module and name are on the stack.
  void push_stack_global() {
    constexpr size_t kLongestName = 1000;
    const Node name = graph_.nodes[pop()];
    const Node module = graph_.nodes[pop()];
    if (name.text.size() > kLongestName || module.text.size() > kLongestName) {
      fail("the name of a class or function is too long");
    }
    push_global(module.text, name.text);
  }

  bool build_object(unsigned char opcode) {
    switch (opcode) {
      case 't':
        push({.kind = Kind::tuple, .items = pop_to_mark()});
        return true;
      case 'l':
        push({.kind = Kind::list, .items = pop_to_mark()});
        return true;
      case 0x91:
        push({.kind = Kind::set, .items = pop_to_mark()});
        return true;
      case 'd': {
        auto items = pop_to_mark();
        if (items.size() % 2 != 0) fail("a key has no value");
        push({.kind = Kind::dict, .items = std::move(items)});
        return true;
      }
      case 0x85:
      case 0x86:
      case 0x87:
        push_tuple(opcode - size_t{0x84});
        return true;
      case 'a':
        extend({pop()}, false);
        return true;
      case 'e':
      case 0x90:
        extend(pop_to_mark(), false);
        return true;
      case 's': {
        const uint32_t value = pop();
        extend({pop(), value}, true);
        return true;
      }
      case 'u':
        extend(pop_to_mark(), true);
        return true;
      case 'c': {
        const auto module = line();
        push_global(module, line());
        return true;
      }
      case 0x93:
        push_stack_global();
        return true;
      case 'R':
      case 0x81: {
        const uint32_t arguments = pop();
        push_call(pop(), arguments);
        return true;
      }
      case 0x92: {  // with named arguments, which are dropped
        pop();
        const uint32_t arguments = pop();
        push({.kind = Kind::call, .items = {pop(), arguments}});
        return true;
      }
      case 'b':
        pop();
        top();
        return true;
      case 'Q':
        push({.kind = Kind::persistent, .items = {pop()}});
        return true;
      default:
        return false;
    }
  }

  std::span<const std::byte> bytes_;
  std::string_view name_;
  size_t place_ = 0;
  size_t text_size_ = 0;
  Graph graph_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, uint32_t> memo_;
};

}  // namespace

const Node* Graph::find(const Node& dict, std::string_view key) const {
  if (dict.kind != Kind::dict) return nullptr;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const Node& name = nodes[dict.items[i]];
    if (name.kind == Kind::text && name.text == key) return &nodes[dict.items[i + 1]];
  }
  return nullptr;
}

bool Graph::is_call_of(const Node& node, std::string_view global) const {
  return node.kind == Kind::call && nodes[node.items[0]].kind == Kind::global &&
         nodes[node.items[0]].text == global;
}

Graph parse(std::span<const std::byte> bytes, std::string_view name) {
  return Machine(bytes, name).run();
}

}  // namespace levin::pickle
