# make demo | make test | make test-system | make test-long | make lint | make docs. Each installs what it needs, once.
# ENV=cuda uses the lock with TensorFlow's CUDA libraries; `make install ENV=nnunet` adds nnU-Net in .venv-nnunet; PYTHON=... another Python (3.11 to 3.13);
# CORES=... fewer cores than there are.

PYTHON ?= python3
ENV ?= cpu
CORES ?= all
VENV := .venv$(if $(filter-out cpu,$(ENV)),-$(ENV))
BIN := $(VENV)/bin
nnunet_size := 6 GB
docs_size := 0.1 GB
INSTALLED := $(VENV)/.installed
# two processes share the tests (see tests/conftest.py)
TWO := -n 2 --durations 25

.PHONY: demo install test test-system test-long lint docs format lock clean

demo: install
	@echo "The demo takes 5 to 7 minutes on 2 cores. Its networks are so small that several are trained at a time."
	@$(BIN)/snakemake all package --cores $(CORES) --max-threads 1 --resources gpu=4
	@if [ ! -f results/report.html ] || [ -n "$$(find results/tables results/figures workflow/report -newer results/report.html -print -quit)" ]; \
	then $(BIN)/snakemake --cores $(CORES) --report results/report.html --quiet; fi
	@$(BIN)/snakemake segment --cores $(CORES) --max-threads 1 \
	  --config scans=phantom model=results/models/sound/t2_SPACE.zip viewer=true
	@$(BIN)/python workflow/scripts/show.py results

install: $(INSTALLED)

$(INSTALLED): envs/$(ENV).lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, found %d.%d; name one with: make PYTHON=python3.11" % v)'
	@echo "Installing into $(VENV) (about $(or $($(ENV)_size),4 GB)) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
	@echo "Installed. In each terminal: source $(VENV)/bin/activate"

# every test that needs no system package
test: install
	@$(BIN)/python -m pytest $(TWO) -m "not system and not long"

# the tests that install Debian packages (a browser, SLURM); as root
test-system: install
	@for kind in nnunet docs; do $(MAKE) --no-print-directory install ENV=$$kind || exit 1; done
	@tests/system/install.sh
	@$(BIN)/python -m pytest $(TWO) -m "system and not long"

# more kills, the full demo, more real volumes: the long forms of tests whose short forms are above; as root
test-long: install
	@tests/system/install.sh
	@$(BIN)/python -m pytest $(TWO) -m long

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=workflow/scripts $(BIN)/lint-imports
	@$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	@$(BIN)/snakemake --lint

# the site of the documentation, into site/
docs: install
	@$(MAKE) --no-print-directory install ENV=docs
	@$(BIN)/python docs/keys.py
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet
	@echo "The documentation is in site/index.html."

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt Snakefile workflow/Snakefile workflow/rules

# new pins for the locks; needs uv
lock:
	@for kind in cpu cuda nnunet docs; do (cd envs && uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header $$kind.in -o $$kind.lock) || exit 1; done

clean:
	rm -rf results/* .snakemake
	git checkout -q results/README.md
