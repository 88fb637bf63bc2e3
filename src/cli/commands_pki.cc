// merlon pki: a small certificate authority.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "cli/commands.h"
#include "io/system_clock.h"
#include "io/system_rng.h"
#include "pki/authority.h"
#include "pki/files.h"
#include "pki/identity_text.h"

namespace merlon::cli {
namespace {

struct Options {
  std::string directory, subject, kind = "ecdsa-p384", key_file, out_file, request_file, serial,
                                  reason = "unspecified", role = "gateway";
  std::vector<std::string> names;
  int days = 0;
  bool allow_request_names = false;
};
using OptionsPtr = std::shared_ptr<Options>;

std::string day(UnixTime at) {
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(at)};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

Result<pki::CertificateRole> role_of(const std::string& text) {
  if (text == "gateway") return pki::CertificateRole::kGateway;
  if (text == "server") return pki::CertificateRole::kServer;
  if (text == "client") return pki::CertificateRole::kClient;
  return fail(ErrorCode::kInvalidArgument, "expected --role gateway, server or client, got \"{}\"", text);
}

Result<pki::IssueOptions> issue_options(const Options& options) {
  pki::IssueOptions out;
  out.subject = options.subject;
  out.names = options.names;
  if (options.days > 0) out.lifetime = std::chrono::days(options.days);
  MERLON_TRY(out.role, role_of(options.role));
  return out;
}

Result<> write_certificate(const pki::Certificate& certificate, const std::string& file) {
  MERLON_TRY_VOID(pki::write_public_file(file, as_bytes(certificate.to_pem())));
  std::cout << fmt::format("{}: {}, serial {}, valid until {}\n", file, certificate.describe(),
                           certificate.serial_hex(), day(certificate.not_after()));
  return {};
}

Result<> create(const Options& options) {
  io::SystemRng rng;
  pki::AuthorityOptions authority;
  authority.key_kind = options.kind;
  authority.subject = options.subject;
  if (options.days > 0) authority.lifetime = std::chrono::days(options.days);
  MERLON_TRY(const auto made,
             pki::Authority::create(options.directory, authority, rng, io::system_now().wall));
  std::cout << fmt::format("{}/ca.pem: {}, valid until {}\n{}/ca.key: keep it here, and safe\n",
                           options.directory, made.certificate().describe(),
                           day(made.certificate().not_after()), options.directory);
  return {};
}

Result<> issue(const Options& options) {
  io::SystemRng rng;
  MERLON_TRY(auto authority, pki::Authority::open(options.directory));
  MERLON_TRY(const auto wanted, issue_options(options));
  MERLON_TRY(const auto key, pki::generate_key(options.kind));
  // First what may fail because of the file: a certificate that nobody has must not stand in the authority's
  // list.
  MERLON_TRY_VOID(pki::write_private_file(options.key_file, key.to_pem().bytes()));
  const auto certificate = authority.issue(key.public_key(), wanted, rng, io::system_now().wall);
  if (!certificate) {
    std::error_code ignored;
    std::filesystem::remove(options.key_file, ignored);
    return tl::unexpected<Error>(certificate.error());
  }
  std::cout << options.key_file << ": private key\n";
  return write_certificate(*certificate, options.out_file);
}

Result<> request(const Options& options) {
  MERLON_TRY(const auto key, pki::generate_key(options.kind));
  Bytes subject{0x30, 0x00};
  if (!options.subject.empty()) {
    MERLON_TRY(subject, pki::dn_from_text(options.subject));
  }
  MERLON_TRY(const auto names, pki::names_from_text(options.names));
  MERLON_TRY(const auto made, pki::make_request(key, subject, names));
  MERLON_TRY_VOID(pki::write_private_file(options.key_file, key.to_pem().bytes()));
  MERLON_TRY_VOID(pki::write_public_file(options.out_file, as_bytes(made.to_pem())));
  std::cout << fmt::format(
      "{}: private key (keep it here)\n{}: request (for `merlon pki sign` on the CA's side)\n",
      options.key_file, options.out_file);
  return {};
}

Result<> sign(const Options& options) {
  io::SystemRng rng;
  MERLON_TRY(auto authority, pki::Authority::open(options.directory));
  MERLON_TRY(const auto wanted, issue_options(options));
  MERLON_TRY(const Bytes content, pki::read_file(options.request_file));
  MERLON_TRY(const auto parsed, pki::CertificateRequest::from_pem(as_text(content)));
  MERLON_TRY(const auto certificate, authority.issue_for_request(parsed, wanted, options.allow_request_names,
                                                                 rng, io::system_now().wall));
  return write_certificate(certificate, options.out_file);
}

Result<> revoke(const Options& options) {
  MERLON_TRY(auto authority, pki::Authority::open(options.directory));
  std::string serial = options.serial;
  if (!options.out_file.empty()) {
    MERLON_TRY(const auto certificates, pki::read_certificates_file(options.out_file));
    serial = certificates.front().serial_hex();
  }
  if (serial.empty())
    return fail(ErrorCode::kInvalidArgument, "which certificate? give --serial or --certificate");
  MERLON_TRY(const auto reason, pki::revocation_reason_from_text(options.reason));
  MERLON_TRY_VOID(authority.revoke(serial, reason, io::system_now().wall));
  std::cout << "revoked " << serial << "; `merlon pki crl` makes the list that tells the gateways\n";
  return {};
}

Result<> crl(const Options& options) {
  MERLON_TRY(auto authority, pki::Authority::open(options.directory));
  const std::chrono::days lifetime(options.days > 0 ? options.days : 30);
  MERLON_TRY(const Bytes der, authority.write_crl(io::system_now().wall, lifetime));
  std::string file = options.directory + "/crl.pem";
  if (!options.out_file.empty()) {
    file = options.out_file;
    MERLON_TRY_VOID(pki::write_public_file(file, as_bytes(pki::crl_to_pem(der))));
  }
  std::cout << file << ": next one due in " << lifetime.count() << " days\n";
  return {};
}

Result<> list(const Options& options) {
  MERLON_TRY(const auto authority, pki::Authority::open(options.directory));
  MERLON_TRY(const auto issued, authority.list());
  for (const auto& certificate : issued)
    std::cout << fmt::format("{}  until {}  {}  {}\n", certificate.serial_hex, day(certificate.not_after),
                             certificate.revoked ? "revoked " + day(*certificate.revoked) : "good",
                             certificate.subject);
  return {};
}

CLI::App* add(CLI::App& pki, Session& session, const OptionsPtr& options, const char* name, const char* help,
              Result<> (*run)(const Options&)) {
  CLI::App* command = pki.add_subcommand(name, help);
  command->callback([options, run, &session] { session.check(run(*options)); });
  return command;
}

void add_subject(CLI::App* command, const OptionsPtr& options) {
  command->add_option("--dn", options->subject, "Distinguished name: \"O=Example, CN=gw\"");
  command->add_option("--san", options->names, "Names it speaks for: host names, mailboxes, addresses")
      ->take_all();
}

}  // namespace

void add_pki_commands(CLI::App& app, Session& session) {
  CLI::App* pki = app.add_subcommand("pki", "A small certificate authority in a folder");
  pki->require_subcommand(1);
  const auto options = std::make_shared<Options>();
  const auto with_directory = [&](CLI::App* command) {
    command->add_option("--ca", options->directory, "Folder of the authority")->required();
  };
  const auto with_days = [&](CLI::App* command, const char* help) {
    command->add_option("--days", options->days, help)->check(CLI::Range(1, 36500));
  };
  const auto with_type = [&](CLI::App* command) {
    command->add_option("--type", options->kind, "Kind of key")->capture_default_str();
  };

  CLI::App* command = add(*pki, session, options, "init", "Make an authority", create);
  with_directory(command);
  with_type(command);
  command->add_option("--dn", options->subject, "Its name: \"O=Example, CN=Example VPN CA\"")->required();
  with_days(command, "Lifetime (3650)");

  command = add(*pki, session, options, "issue", "Make a key and a certificate for it", issue);
  with_directory(command);
  with_type(command);
  add_subject(command, options);
  with_days(command, "Lifetime (365)");
  command->add_option("--role", options->role, "gateway, server or client")->capture_default_str();
  command->add_option("--key", options->key_file, "Where the private key goes")->required();
  command->add_option("--out", options->out_file, "Where the certificate goes")->required();

  command =
      add(*pki, session, options, "request", "Make a key and a request, on the gateway itself", request);
  with_type(command);
  add_subject(command, options);
  command->add_option("--key", options->key_file, "Where the private key goes")->required();
  command->add_option("--out", options->out_file, "Where the request goes")->required();

  command = add(*pki, session, options, "sign", "Make a certificate for a request", sign);
  with_directory(command);
  command->add_option("--request", options->request_file, "The request (PEM)")->required();
  add_subject(command, options);
  command->add_flag("--allow-request-names", options->allow_request_names,
                    "Take the names that the request asks for");
  with_days(command, "Lifetime (365)");
  command->add_option("--role", options->role, "gateway, server or client")->capture_default_str();
  command->add_option("--out", options->out_file, "Where the certificate goes")->required();

  command = add(*pki, session, options, "revoke", "Declare a certificate void", revoke);
  with_directory(command);
  command->add_option("--serial", options->serial, "Its serial number in hexadecimal");
  command->add_option("--certificate", options->out_file, "Or the certificate itself");
  command->add_option("--reason", options->reason, "keyCompromise, superseded, ...")->capture_default_str();

  command = add(*pki, session, options, "crl", "Write the certificate revocation list", crl);
  with_directory(command);
  with_days(command, "Until the next one is due (30)");
  command->add_option("--out", options->out_file, "Default: crl.pem in the authority's folder");

  command = add(*pki, session, options, "list", "What was issued", list);
  with_directory(command);
}

}  // namespace merlon::cli
