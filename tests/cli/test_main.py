"""The commands as a whole: what they describe."""


def test_inspect_says_what_a_checkpoint_is(undisturbed, command):
    code, out, _ = command("inspect", undisturbed)
    assert code == 0
    for word in ("generator", "QueryGenerator", "stage", "01-generator_pretrain", "luma601", "psnr", "sha256"):
        assert word in out
