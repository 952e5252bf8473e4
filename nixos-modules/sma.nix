# birthmark-sma: the manufacturer authority.
import ./server.nix {
  daemon = "sma";
  port = 8001;
  about = "the Birthmark manufacturer authority";
  credentials = { };
  databaseSettings = name: { database = "postgres:///${name}?host=/run/postgresql"; };
}
