"""TREC's question files are recognised by the labels that their lines begin with."""

from pathlib import Path

from tables import failing, read, write

LINES = 'DESC:manner How did serfdom develop , and why ?\nENTY:cremat What films featured "Popeye" ?\nDESC:def What is it ?\n'


def test_the_coarse_label_is_the_label_and_the_fine_one_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "train_5500.label", LINES)
    table = read(path)
    assert table.texts == ("How did serfdom develop , and why ?", 'What films featured "Popeye" ?', "What is it ?")
    assert table.labels == ("DESC", "ENTY", "DESC")
    assert "TREC, coarse labels (the others: --set data.label=fine_label)" in table.layout.describe()
    assert read(path, label="fine_label").labels == ("DESC:manner", "ENTY:cremat", "DESC:def")


def test_a_line_of_another_kind_is_an_error_or_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t.label", LINES * 40 + "and no label\n")
    assert "line 121: found 'and no label', expected COARSE:fine and a text" in failing(path)
    assert read(path, skip_bad_rows=True).dropped == {"bad row": 1}
