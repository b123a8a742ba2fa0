#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/cli/arguments.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/yaml.h>
#include <levin/serving/commands/serve_options.h>
#include <levin/serving/commands/serve_plan.h>
#include <levin/serving/commands/serving_commands.h>
#include <levin/serving/http/http_server.h>

#include "framework/temporary_folder.h"

// The files of examples/serving agree with `levin serve` and with each other.

namespace levin::test::deployment_test {

using Words = std::vector<std::string>;

constexpr double kLastAnswers = 5.0;  // seconds after the drain, for answers to Redis

std::string source(const std::string& path) { return read_file(LEVIN_SOURCE_DIR "/" + path); }
std::string example(const std::string& name) { return source("examples/serving/" + name); }

Words words_of(const ConfigNode& list) {
  Words words;
  for (const auto& item : list.items) words.push_back(item.text);
  return words;
}

/// The member at the end of a path of names.
const ConfigNode& at(const ConfigNode& root, const Words& path) {
  const ConfigNode* node = &root;
  for (const auto& name : path) {
    node = node->find(name);
    if (node == nullptr) throw std::runtime_error("there is no " + name);
  }
  return *node;
}

/// A command line as the program reads it.
struct Served {
  ServeOptions options{};
  Words models{};
};

Served served(Words words) {
  words.insert(words.begin(), "levin");
  std::vector<const char*> argv;
  for (const auto& each : words) argv.push_back(each.c_str());
  const auto arguments = parse_arguments(static_cast<int>(argv.size()), argv.data(),
                                         shipped_classes(), serving_commands());
  EXPECT_EQ(arguments.command, "serve");
  Served served{{}, arguments.words};
  set_options(describe(served.options), arguments);
  ServeOptions without_files = served.options;
  without_files.token_file.clear();
  plan_service(without_files, served.models);  // throws if the options don't fit together
  return served;
}

/// The first group of what `pattern` finds, as a number.
double number_in(const std::string& text, const char* pattern) {
  std::smatch found;
  if (!std::regex_search(text, found, std::regex(pattern))) {
    ADD_FAILURE() << "there is no " << pattern;
    return 0.0;
  }
  return std::atof(found[1].str().c_str());
}

bool is_installed(const std::string& program) {
  return std::system(("command -v " + program + " > /dev/null 2>&1").c_str()) == 0;  // NOLINT
}

ConfigNode compose() { return parse_yaml(example("docker-compose.yaml"), "docker-compose.yaml"); }

std::vector<ConfigNode> kubernetes() {
  std::vector<ConfigNode> documents;
  std::string text = example("kubernetes.yaml") + "\n---\n";
  for (size_t end = 0; (end = text.find("\n---\n")) != text.npos; text.erase(0, end + 5)) {
    if (end > 0) documents.push_back(parse_yaml(text.substr(0, end), "kubernetes.yaml"));
  }
  return documents;
}

TEST(Deployment, compose_starts_levin_as_it_can_be_and_gives_it_time_to_end) {
  const ConfigNode root = compose();
  for (const char* name : {"front1", "front2", "model"}) {
    const ConfigNode& service = at(root, {"services", name});
    const Served levin = served(words_of(at(service, {"command"})));
    EXPECT_GT(number_in(at(service, {"stop_grace_period"}).text, "^(\\d+)s$"),
              levin.options.drain_timeout + kLastAnswers);
    EXPECT_EQ(levin.options.redis, "redis://redis:6379/0");
    EXPECT_EQ(levin.options.role, levin.models.empty() ? "front" : "model");
    if (!levin.options.token_file.empty()) {
      const auto secret = words_of(at(service, {"secrets"})).at(0);
      EXPECT_EQ(levin.options.token_file, "/run/secrets/" + secret);
      at(root, {"secrets", secret});
    }
    for (const auto& model : levin.models) {
      const std::string volume = words_of(at(service, {"volumes"})).at(0);
      EXPECT_EQ(volume, "./models:/models:ro");
      EXPECT_NE(model.find("=/models/"), model.npos);
    }
  }
}

// Compose stops what others depend on after those: nginx, then the front ends, then the models, and
// Redis last. So whatever nginx has begun is answered.
TEST(Deployment, compose_stops_nginx_first_and_redis_last) {
  const ConfigNode root = compose();
  for (const char* front : {"front1", "front2"}) {
    EXPECT_EQ(words_of(at(root, {"services", front, "depends_on"})), (Words{"redis", "model"}));
  }
  EXPECT_EQ(words_of(at(root, {"services", "model", "depends_on"})), Words{"redis"});
  EXPECT_EQ(words_of(at(root, {"services", "nginx", "depends_on"})), (Words{"front1", "front2"}));
  const ConfigNode& nginx = at(root, {"services", "nginx"});
  EXPECT_EQ(at(nginx, {"stop_signal"}).text, "SIGQUIT");  // SIGTERM breaks requests off
  EXPECT_GT(number_in(at(nginx, {"stop_grace_period"}).text, "^(\\d+)s$"),
            number_in(example("nginx.conf"), "proxy_read_timeout (\\d+)s;"));
}

/// An address such as 10.0.0.1 as a number.
uint32_t address(const std::string& text) {
  in_addr found = {};
  EXPECT_EQ(::inet_pton(AF_INET, text.c_str(), &found), 1) << text;
  return ntohl(found.s_addr);
}

/// Whether a range, such as 10.0.0.0/24, has an address.
bool has(const std::string& range, const std::string& text) {
  const size_t slash = range.find('/');
  const int bits = 32 - std::atoi(range.c_str() + slash + 1);
  return address(range.substr(0, slash)) >> bits == address(text) >> bits;
}

// nginx asks for the addresses of the front ends only at its start.
TEST(Deployment, compose_gives_front_ends_addresses_that_no_other_container_can_get) {
  const ConfigNode root = compose();
  const ConfigNode& ranges = at(root, {"networks", "default", "ipam", "config"}).items.at(0);
  const std::string subnet = at(ranges, {"subnet"}).text;
  const std::string others = at(ranges, {"ip_range"}).text;
  EXPECT_TRUE(has(subnet, others.substr(0, others.find('/'))));
  std::set<std::string> addresses;
  for (const char* name : {"front1", "front2"}) {
    const std::string own =
        at(root, {"services", name, "networks", "default", "ipv4_address"}).text;
    EXPECT_TRUE(has(subnet, own)) << own;
    EXPECT_FALSE(has(others, own)) << own;
    addresses.insert(own);
  }
  EXPECT_EQ(addresses.size(), 2U);
}

// Redis has no password and no port on the host; protected mode would refuse the other containers.
TEST(Deployment, compose_lets_containers_alone_reach_redis) {
  const ConfigNode root = compose();
  const ConfigNode& redis = at(root, {"services", "redis"});
  const Words command = words_of(at(redis, {"command"}));
  const auto mode = std::find(command.begin(), command.end(), "--protected-mode");
  ASSERT_NE(mode, command.end());
  EXPECT_EQ(*std::next(mode), "no");
  EXPECT_EQ(redis.find("ports"), nullptr);
}

TEST(Deployment, compose_finds_out_by_a_shell_alone_whether_a_front_end_is_ready) {
  if (!is_installed("bash")) GTEST_SKIP() << "bash isn't installed";
  const ConfigNode root = compose();
  const auto test = words_of(at(root, {"services", "front1", "healthcheck", "test"}));
  ASSERT_EQ(test.size(), 4U);
  EXPECT_EQ((Words{test[0], test[1], test[2]}), (Words{"CMD", "bash", "-c"}));
  int status = 200;
  std::string path;
  HttpServer server({.port = 0}, [&](const HttpRequest& request, const HttpReply& reply) {
    path = request.path;
    reply({.status = status});
  });
  std::string command = test[3];
  const size_t port = command.find("/8000");
  ASSERT_NE(port, command.npos);
  const TemporaryFolder folder;
  std::ofstream(folder / "check.sh")
      << command.replace(port, 5, "/" + std::to_string(server.port()));
  const std::string run = "bash " + (folder / "check.sh").string() + " 2> /dev/null";
  EXPECT_EQ(std::system(run.c_str()), 0);  // NOLINT
  EXPECT_EQ(path, "/v2/health/ready");
  status = 503;
  EXPECT_NE(std::system(run.c_str()), 0);  // NOLINT
}

TEST(Deployment, kubernetes_starts_levin_as_it_can_be_and_gives_it_time_to_end) {
  const auto documents = kubernetes();
  ASSERT_EQ(documents.size(), 3U);
  const ConfigNode& pod = at(documents[0], {"spec", "template", "spec"});
  const ConfigNode& container = at(pod, {"containers"}).items.at(0);
  const Served levin = served(words_of(at(container, {"args"})));
  const auto pause = words_of(at(container, {"lifecycle", "preStop", "exec", "command"}));
  ASSERT_EQ(pause.front(), "sleep");
  EXPECT_GT(std::atof(at(pod, {"terminationGracePeriodSeconds"}).text.c_str()),
            std::atof(pause.back().c_str()) + levin.options.drain_timeout + kLastAnswers);
  EXPECT_EQ(at(container, {"ports"}).items.at(0).find("containerPort")->text,
            std::to_string(levin.options.port));
  EXPECT_EQ(levin.options.host, "0.0.0.0");
  Words mounts;
  for (const auto& mount : at(container, {"volumeMounts"}).items) {
    mounts.push_back(mount.find("mountPath")->text);
  }
  EXPECT_EQ(mounts, (Words{"/models", "/secrets"}));
  EXPECT_EQ(levin.options.token_file, "/secrets/token");
  EXPECT_EQ(levin.models, Words{"digits=/models/digits"});
}

// Probes have no token.
TEST(Deployment, kubernetes_probes_addresses_that_are_open) {
  const auto documents = kubernetes();
  const ConfigNode& pod = at(documents.at(0), {"spec", "template", "spec"});
  const ConfigNode& container = at(pod, {"containers"}).items.at(0);
  const auto open = plan_service({}, {"a=b"}).http.open_paths;
  for (const char* probe : {"startupProbe", "readinessProbe", "livenessProbe"}) {
    const std::string path = at(container, {probe, "httpGet", "path"}).text;
    EXPECT_EQ(std::count(open.begin(), open.end(), path), 1) << path;
    EXPECT_EQ(at(container, {probe, "httpGet", "port"}).text,
              at(container, {"ports"}).items.at(0).find("name")->text);
  }
}

TEST(Deployment, kubernetes_leads_requests_and_disruptions_to_the_pods_that_it_starts) {
  const auto documents = kubernetes();
  const std::string app =
      at(documents.at(0), {"spec", "template", "metadata", "labels", "app"}).text;
  EXPECT_EQ(at(documents[0], {"spec", "selector", "matchLabels", "app"}).text, app);
  EXPECT_EQ(at(documents.at(1), {"spec", "selector", "app"}).text, app);
  EXPECT_EQ(at(documents.at(2), {"spec", "selector", "matchLabels", "app"}).text, app);
}

TEST(Deployment, systemd_starts_levin_as_it_can_be_and_gives_it_time_to_end) {
  const std::string text = example("levin-serve.service");
  const std::string start = "\nExecStart=/opt/levin/bin/levin ";
  const size_t begin = text.find(start);
  ASSERT_NE(begin, std::string::npos);
  const size_t first = begin + start.size();
  std::istringstream line(text.substr(first, text.find('\n', first) - first));
  const Served levin = served({std::istream_iterator<std::string>(line), {}});
  EXPECT_GT(number_in(text, "\nTimeoutStopSec=(\\d+)\n"),
            levin.options.drain_timeout + kLastAnswers);
  EXPECT_GT(number_in(text, "\nLimitNOFILE=(\\d+)\n"),
            static_cast<double>(levin.options.max_connections));
  EXPECT_EQ(levin.options.token_file, "${CREDENTIALS_DIRECTORY}/token");
  EXPECT_NE(text.find("\nLoadCredential=token:"), text.npos);
}

TEST(Deployment, systemd_understands_the_unit) {
  if (!is_installed("systemd-analyze")) GTEST_SKIP() << "systemd-analyze isn't installed";
  std::string text = example("levin-serve.service");
  const std::string program = "/opt/levin/bin/levin";
  text.replace(text.find("=" + program) + 1, program.size(), "/bin/true");
  const TemporaryFolder folder;
  std::ofstream(folder / "levin-serve.service") << text;
  const std::string command = "systemd-analyze verify --man=no " +
                              (folder / "levin-serve.service").string() + " > " +
                              (folder / "said").string() + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT
  EXPECT_EQ(read_file(folder / "said"), "");
}

TEST(Deployment, nginx_has_the_limits_of_levin_and_waits_longer) {
  const std::string text = example("nginx.conf");
  const ServeOptions options;
  EXPECT_EQ(number_in(text, "client_max_body_size (\\d+)m;") * 0x1p20,
            static_cast<double>(parse_bytes(options.max_body, "max_body")));
  EXPECT_GT(number_in(text, "proxy_read_timeout (\\d+)s;"), options.timeout);
  EXPECT_LT(number_in(text, "keepalive_timeout (\\d+)s;"), options.idle_timeout);
}

/// HOST:PORT of the machines among which nginx chooses.
std::set<std::string> machines() {
  std::set<std::string> found;
  const std::string text = example("nginx.conf");
  const std::regex server("\n\\s+server ([^ ]+:\\d+)");
  for (std::sregex_iterator it(text.begin(), text.end(), server), end; it != end; ++it) {
    found.insert((*it)[1]);
  }
  return found;
}

TEST(Deployment, nginx_and_prometheus_know_the_front_ends_of_compose) {
  std::set<std::string> front_ends;
  const ConfigNode root = compose();
  for (const auto& [name, origin, service] : at(root, {"services"}).members) {
    const auto* command = service.find("command");
    if (command == nullptr || command->items.at(0).text != "serve") continue;
    const Served levin = served(words_of(*command));
    if (levin.options.role != "front") continue;
    front_ends.insert(name + ":" + std::to_string(levin.options.port));
  }
  EXPECT_EQ(front_ends.size(), 2U);
  EXPECT_EQ(machines(), front_ends);
  const ConfigNode prometheus = parse_yaml(example("prometheus.yml"), "prometheus.yml");
  const ConfigNode& job = at(prometheus, {"scrape_configs"}).items.at(0);
  const auto targets = words_of(at(at(job, {"static_configs"}).items.at(0), {"targets"}));
  EXPECT_EQ(std::set<std::string>(targets.begin(), targets.end()), front_ends);
  EXPECT_EQ(at(job, {"metrics_path"}).text, "/metrics");
}

TEST(Deployment, nginx_understands_its_configuration) {
  if (!is_installed("nginx")) GTEST_SKIP() << "nginx isn't installed";
  std::string text = example("nginx.conf");
  const TemporaryFolder folder;
  for (const auto& machine : machines()) {  // names that only compose knows
    for (size_t at = 0; (at = text.find(machine)) != text.npos;) {
      text.replace(at, machine.size(), "127.0.0.1:9");
    }
  }
  std::ofstream(folder / "nginx.conf") << text;
  const std::string command =
      "nginx -t -q -e stderr -p " + folder.string() + " -c " + (folder / "nginx.conf").string() +
      " -g 'pid " + (folder / "pid").string() + ";' > " + (folder / "said").string() + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << read_file(folder / "said");  // NOLINT
}

// The image is built with what ./run would install.
TEST(Deployment, the_image_has_the_packages_and_the_libtorch_of_run) {
  const std::string run = source("run");
  const std::string image = source("Dockerfile");
  std::smatch packages;
  ASSERT_TRUE(std::regex_search(run, packages, std::regex("\npackages=\"([^\"]+)\"")));
  std::istringstream words(packages[1]);
  size_t count = 0;
  for (std::string each; words >> each; ++count) {
    EXPECT_TRUE(std::regex_search(
        image, std::regex(" " + std::regex_replace(each, std::regex("\\+"), "\\+") + "[ \n]")))
        << each;
  }
  EXPECT_GT(count, 10U);
  std::smatch version;
  ASSERT_TRUE(std::regex_search(run, version, std::regex("\ntorch_version=([0-9.]+)\n")));
  EXPECT_NE(image.find("torch==" + version[1].str() + " "), image.npos);
}

// A build of this machine must not get into the image, where it would be in another folder.
TEST(Deployment, the_image_leaves_out_what_git_ignores) {
  std::istringstream ignored(source(".gitignore"));
  std::istringstream left_out(source(".dockerignore"));
  const std::set<std::string> lines{std::istream_iterator<std::string>(left_out), {}};
  size_t count = 0;
  for (std::string each; ignored >> each;) {
    if (each.front() != '/') continue;
    ++count;
    each.erase(0, 1);
    if (each.back() == '/') each.pop_back();
    EXPECT_EQ(lines.count(each), 1U) << each;
  }
  EXPECT_GT(count, 2U);
}

// The comments of docker-compose.yaml say to put the token and the checkpoints beside that file.
TEST(Deployment, git_and_the_image_leave_out_the_token_and_the_models_of_compose) {
  const std::string ignored = "\n" + source(".gitignore");
  const ConfigNode root = compose();
  const std::string token = at(root, {"secrets", "token", "file"}).text;
  ASSERT_EQ(token, "./token");
  EXPECT_NE(ignored.find("\n/examples/serving/token\n"), ignored.npos);
  EXPECT_NE(ignored.find("\n/examples/serving/models/\n"), ignored.npos);
}

}  // namespace levin::test::deployment_test
