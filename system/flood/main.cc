// merlon-flood: sends what nobody wants to one gateway, and says as JSON how much of it. For the system tests.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "floods.h"

namespace merlon::flood {
namespace {

struct Options {
  std::string kind, device, mac, to, from = "0.0.0.0/0", capture;
  std::vector<std::uint32_t> spis;
  bool udp = false;
  Target target;
};

Result<Report> run(Options& options, Wire& wire) {
  Target& target = options.target;
  MERLON_TRY(target.gateway, IpAddress::parse(options.to));
  MERLON_TRY(target.from, IpPrefix::parse(options.from));
  if (options.kind == "init") return init(wire, target);
  if (options.kind == "garbage") return garbage(wire, target);
  if (options.kind == "replay") return replay(wire, target, options.capture);
  if (options.kind == "ip-fragments") return ip_fragments(wire, target);
  if (options.kind == "unknown-spis") return unknown_spis(wire, target);
  if (options.kind == "bad-icvs") return bad_icvs(wire, target, options.spis, options.udp);
  if (options.kind == "cookies") return cookies(wire, target);
  if (options.kind == "ike-fragments") return ike_fragments(wire, target);
  return fail(ErrorCode::kInvalidArgument, "no flood is called {}", options.kind);
}

int flood(Options& options) {
  auto wire = Wire::open(options.device, options.mac);
  if (!wire) {
    fmt::print(stderr, "{}\n", wire.error().message);
    return 1;
  }
  const auto begun = std::chrono::steady_clock::now();
  const auto report = run(options, *wire);
  wire->flush();
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  if (!report) {
    fmt::print(stderr, "{}\n", report.error().message);
    return 1;
  }
  std::string more;
  for (const auto& [name, number] : *report) more += fmt::format(", \"{}\": {}", name, number);
  fmt::print("{{\"sent\": {}, \"refused\": {}, \"seconds\": {:.3f}, \"rate\": {:.0f}{}}}\n", wire->sent(),
             wire->refused(), took, static_cast<double>(wire->sent()) / took, more);
  return 0;
}

}  // namespace
}  // namespace merlon::flood

int main(int argc, char** argv) {
  merlon::flood::Options options;
  CLI::App app("Floods one gateway of the system tests, for some seconds.");
  app.add_option("kind", options.kind,
                 "init, garbage, replay, ip-fragments, unknown-spis, bad-icvs, cookies, ike-fragments")
      ->required();
  app.add_option("--device", options.device, "Through which it is reached")->required();
  app.add_option("--mac", options.mac, "Its Ethernet address there")->required();
  app.add_option("--to", options.to, "Its address")->required();
  app.add_option("--from", options.from, "Prefix of the addresses to forge");
  app.add_option("--rate", options.target.rate, "Packets a second; of ike-fragments: attackers a second");
  app.add_option("--seconds", options.target.seconds, "How long");
  app.add_option("--seed", options.target.seed, "Of what is random");
  app.add_option("--capture", options.capture, "pcap to replay");
  app.add_option("--spi", options.spis, "SPIs for bad-icvs");
  app.add_flag("--udp", options.udp, "bad-icvs in UDP");
  CLI11_PARSE(app, argc, argv);
  return merlon::flood::flood(options);
}
