// Emulates a network whose links are slow, for network namespaces of one machine: a star, in whose
// middle this program passes packets on. It needs root and /dev/net/tun, but nothing of the
// kernel's traffic control, which many kernels come without.
//
//   link [--rate MBIT=100] [--delay MS=10] [--loss SHARE=0] [--queue MS=100] [--mtu BYTES=1500]
//        [--seed N=1] NAMESPACE...
//
// Each namespace gets a device `link0` with the address 10.78.0.K, K counted from 1 in the order of
// the arguments. A packet leaves its host at the rate of the link, behind the packets that wait
// there; takes the delay; is lost with a probability; and arrives at its host at the rate of that
// host's link. A packet that would have to wait longer than `--queue` is lost, as in a router.
//
// Prints "ready" when the devices are up, and runs until standard input ends; it
// then prints the packets and bytes that were passed on, and the packets that were lost. The
// devices end with it.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <queue>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

struct Options {
  double rate = 100.0;  // 10^6 bits a second
  double delay = 10.0;  // ms
  double loss = 0.0;
  double queue = 100.0;  // ms
  int mtu = 1500;        // bytes
  uint64_t seed = 1;
  std::vector<std::string> namespaces;
};

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

Clock::duration milliseconds(double number) {
  return std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double, std::milli>(number));
}

/// One direction of the cable of a host: a packet after the other.
class Direction {
 public:
  Direction(double rate, double queue) : rate_(rate), queue_(milliseconds(queue)) {}
  /// Returns whether a packet that comes at `now` finds a place in the queue; `now` is then when it
  /// is through.
  bool pass(size_t bytes, Time& now) {
    const auto start = std::max(now, free_);
    if (start - now > queue_) return false;
    free_ = start + milliseconds(static_cast<double>(bytes) * 8.0 / (rate_ * 1e3));
    now = free_;
    return true;
  }

 private:
  double rate_;
  Clock::duration queue_;
  Time free_{};
};

struct Host {
  int device;
  Direction out;
  Direction in;
};

struct Packet {
  Time due;
  uint64_t number;  // of two that are due at the same time, the first comes first
  size_t to;
  bool arrived = false;  // at the cable of its host
  std::string bytes;
};

struct Later {
  bool operator()(const Packet& a, const Packet& b) const {
    return std::pair(a.due, a.number) > std::pair(b.due, b.number);
  }
};

/// Makes `link0` in a namespace, without leaving this process's own for longer than that.
int make_device(const std::string& name_space, size_t number, int mtu) {
  const int home = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const int there = ::open(("/run/netns/" + name_space).c_str(), O_RDONLY | O_CLOEXEC);
  if (home < 0 || there < 0) fail("the network namespace " + name_space);
  if (::setns(there, CLONE_NEWNET) != 0) fail("entering the network namespace " + name_space);
  const int device = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (device < 0) fail("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, "link0", IFNAMSIZ - 1);
  if (::ioctl(device, TUNSETIFF, &request) != 0) fail("making link0");
  if (::setns(home, CLONE_NEWNET) != 0) fail("returning from the network namespace");
  ::close(there);
  ::close(home);
  const std::string in = "ip -n " + name_space + " ";
  const std::string up = in + "addr add 10.78.0." + std::to_string(number) + "/24 dev link0 && " +
                         in + "link set link0 mtu " + std::to_string(mtu) + " up && " + in +
                         "link set lo up";
  if (std::system(up.c_str()) != 0) throw std::runtime_error("link0 can't be set up: " + up);
  return device;
}

class Network {
 public:
  explicit Network(const Options& options) : options_(options), random_(options.seed) {
    for (size_t i = 0; i < options.namespaces.size(); ++i) {
      const Direction direction(options.rate, options.queue);
      hosts_.push_back(
          {make_device(options.namespaces[i], i + 1, options.mtu), direction, direction});
    }
  }
  ~Network() {
    for (const auto& host : hosts_) ::close(host.device);
  }
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  void run() {
    std::vector<pollfd> watched = {{STDIN_FILENO, POLLIN, 0}};
    for (const auto& host : hosts_) watched.push_back({host.device, POLLIN, 0});
    for (;;) {
      wait(watched);
      if (watched[0].revents != 0 && input_ended()) return;
      for (size_t i = 0; i < hosts_.size(); ++i) {
        if (watched[i + 1].revents != 0) read(i);
      }
      deliver();
    }
  }
  void report() const {
    std::printf("%llu packets, %llu bytes, %llu packets lost\n",
                static_cast<unsigned long long>(packets_), static_cast<unsigned long long>(bytes_),
                static_cast<unsigned long long>(lost_));
  }

 private:
  void wait(std::vector<pollfd>& watched) {
    timespec left{1, 0};
    if (!under_way_.empty()) {
      const auto until = std::max(under_way_.top().due - Clock::now(), Clock::duration{0});
      const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(until).count();
      left = {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
    }
    if (::ppoll(watched.data(), watched.size(), &left, nullptr) < 0 && errno != EINTR) {
      fail("waiting for packets");
    }
  }
  static bool input_ended() {
    std::array<char, 64> unused;
    return ::read(STDIN_FILENO, unused.data(), unused.size()) <= 0;
  }
  /// Takes the packets that a host has sent.
  void read(size_t from) {
    std::array<char, 65536> buffer;
    for (;;) {
      const auto size = ::read(hosts_[from].device, buffer.data(), buffer.size());
      if (size <= 0) return;
      // IPv4 has the last byte of the receiver's address in byte 19.
      if (size < 20 || (static_cast<unsigned char>(buffer[0]) >> 4) != 4) continue;
      const auto to = static_cast<size_t>(static_cast<unsigned char>(buffer[19])) - 1;
      if (to >= hosts_.size() || to == from) continue;
      auto due = Clock::now();
      const auto bytes = static_cast<size_t>(size);
      if (!hosts_[from].out.pass(bytes, due) || chance_(random_) < options_.loss) {
        ++lost_;
        continue;
      }
      under_way_.push({due + milliseconds(options_.delay), ++numbers_, to, false,
                       std::string(buffer.data(), bytes)});
    }
  }
  void deliver() {
    while (!under_way_.empty() && under_way_.top().due <= Clock::now()) {
      auto packet = under_way_.top();
      under_way_.pop();
      auto& host = hosts_[packet.to];
      if (!packet.arrived) {
        packet.arrived = true;
        if (!host.in.pass(packet.bytes.size(), packet.due)) {
          ++lost_;
          continue;
        }
        under_way_.push(std::move(packet));
        continue;
      }
      if (::write(host.device, packet.bytes.data(), packet.bytes.size()) < 0) {
        ++lost_;
        continue;
      }
      ++packets_;
      bytes_ += packet.bytes.size();
    }
  }

  const Options& options_;
  std::mt19937_64 random_;
  std::uniform_real_distribution<double> chance_;
  std::vector<Host> hosts_;
  std::priority_queue<Packet, std::vector<Packet>, Later> under_way_;
  uint64_t numbers_ = 0;
  uint64_t packets_ = 0;
  uint64_t bytes_ = 0;
  uint64_t lost_ = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name.rfind("--", 0) != 0) {
      options.namespaces.push_back(name);
      continue;
    }
    if (++i == argc) throw std::invalid_argument(name + " needs a value");
    const std::string value = argv[i];
    if (name == "--rate") {
      options.rate = std::stod(value);
    } else if (name == "--delay") {
      options.delay = std::stod(value);
    } else if (name == "--loss") {
      options.loss = std::stod(value);
    } else if (name == "--queue") {
      options.queue = std::stod(value);
    } else if (name == "--mtu") {
      options.mtu = std::stoi(value);
    } else if (name == "--seed") {
      options.seed = std::stoull(value);
    } else {
      throw std::invalid_argument("unknown option " + name);
    }
  }
  if (options.namespaces.size() < 2) throw std::invalid_argument("at least two namespaces");
  if (options.rate <= 0.0) throw std::invalid_argument("--rate must be above 0");
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto options = parse(argc, argv);
    Network network(options);
    std::puts("ready");
    std::fflush(stdout);
    network.run();
    network.report();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "link: %s\n", error.what());
    return 1;
  }
}
